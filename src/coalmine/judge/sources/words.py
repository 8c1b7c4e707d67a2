"""Text by eight bytes at a time: the same place of many lines is looked at in one step.

Many bytes in one register after Lamport 1975; the test for a zero byte is Mycroft's, eight digits at once Lemire's.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from coalmine.judge.sources.lines import Bools, Floats, Ints

Words: TypeAlias = NDArray[np.uint64]
_ONES, _HIGH = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_ZEROS, _UNDER = np.uint64(0x3030303030303030), np.uint64(0x7676767676767676)  # eight "0"; 0x80 - 10
_PAIR, _EIGHT = np.uint64(0x000000FF000000FF), np.uint64(8)
_POWERS = 10.0 ** np.arange(9)
_MASKS = np.array([2 ** (8 * count) - 1 for count in range(9)], dtype=np.uint64)
_HEX = np.full(256, 255, dtype=np.uint8)
_HEX[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16)


class Text:
    """Bytes with a view of the word that begins at each of them. Places must leave room for what is read there."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = data
        self.bytes = np.frombuffer(data, dtype=np.uint8)

    def rows(self, at: Ints, width: int) -> NDArray[np.void]:
        """`width` bytes from each place, shape (N,)."""
        view: NDArray[np.void] = np.ndarray(
            len(self.data) - width + 1, dtype=np.dtype((np.void, width)), buffer=self.data, strides=(1,)
        )
        return view[at]

    def words(self, at: Ints) -> Words:
        """The eight bytes from each place, the first one lowest."""
        return self.rows(at, 8).view("<u8")

    def is_literal(self, at: Ints, text: bytes) -> Bools:
        """Where `text` stands."""
        return begins(self.rows(at, -(-len(text) // 8) * 8), text)

    def quoted(self, at: Ints, longest: int) -> Ints:
        """How many bytes stand before the next quote; -1 where there is a backslash before it, or none in `longest`."""
        length = np.full(len(at), -1, dtype=np.int64)
        left, places = np.arange(len(at)), at
        for begin in range(0, longest, 8):
            words = self.words(places + begin)
            quote, escape = place_of(words, b'"'), place_of(words, b"\\")
            found = (quote < 8) & (escape > quote)
            length[left[found]] = begin + quote[found]
            on = (quote == 8) & (escape == 8)
            if not on.any():
                break
            left, places = left[on], places[on]
        return length

    def hexadecimal(self, at: Ints, digits: int) -> Ints:
        """The number that `digits` lower-case digits make; -1 where they are none."""
        values = _HEX[self.rows(at, digits).view(np.uint8).reshape(len(at), digits)]
        number = (values.astype(np.float64) @ 16.0 ** np.arange(digits - 1, -1, -1)).astype(np.int64)  # exact to 13
        return np.where((values > 15).any(axis=1), -1, number)


def begins(rows: NDArray[np.void], text: bytes) -> Bools:
    """Which rows (their width a multiple of 8) begin with `text`; column by column, since nearly all are alike."""
    columns: Words = rows.view("<u8").reshape(len(rows), rows.dtype.itemsize // 8)
    found = np.ones(len(rows), dtype=np.bool_)
    for place in range(0, len(text), 8):
        part = text[place : place + 8]
        column = columns[:, place // 8]
        found &= (column if len(part) == 8 else column & _MASKS[len(part)]) == _word(part)
    return found


def inside(rows: NDArray[np.void], at: int) -> Words:
    """The word that begins at byte `at` of each row, without a copy."""
    words: Words = np.ndarray(len(rows), dtype="<u8", buffer=rows, offset=at, strides=rows.strides)
    return words


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


def place_of(words: Words, byte: bytes) -> Ints:
    """The first place of `byte` in each word, 8 where it is not in it."""
    other = words ^ _word(byte * 8)
    zero = (other - _ONES) & ~other & _HIGH
    below = (zero & (~zero + np.uint64(1))) - np.uint64(1)
    return (np.bitwise_count(below) >> 3).astype(np.int64)


def decimal(words: Words, length: Ints) -> tuple[Floats, Bools]:
    """The number that the first `length` (1 to 8) bytes of each word write, `123` or `12.34`, and where it is one.

    It is the double nearest to what is written: both parts of the quotient are exact.
    """
    text = right_aligned(words, length)
    dot = place_of(text, b".")
    has = dot < 8
    if has.any():
        shift = (np.minimum(dot, 7) * 8).astype(np.uint64)
        low = text & ((np.uint64(1) << shift) - np.uint64(1))
        without = ((text >> shift >> _EIGHT) << shift << _EIGHT) | (low << _EIGHT) | np.uint64(0x30)
        text = np.where(has, without, text)
    number, good = eight_digits(text)
    good &= (words & np.uint64(0xFF)) != np.uint64(0x2E)  # begins with a digit
    good &= dot != 7  # and ends with one
    return number / _POWERS[np.where(has, 7 - dot, 0)], good


def right_aligned(words: Words, length: Ints) -> Words:
    """The first `length` (1 to 8) bytes of each word at its end, with the digit 0 before them."""
    bits = (length * 8).astype(np.uint64)
    text: Words = (words << (np.uint64(64) - bits)) | (_ZEROS >> bits)
    return text


def eight_digits(text: Words) -> tuple[Floats, Bools]:
    """The number that eight digits write, and where they are eight digits."""
    value = text ^ _ZEROS
    good: Bools = (((value + _UNDER) | value) & _HIGH) == 0
    value = value * np.uint64(10) + (value >> _EIGHT)
    pairs = (value & _PAIR) * np.uint64(0x000F424000000064)
    pairs += ((value >> np.uint64(16)) & _PAIR) * np.uint64(0x0000271000000001)
    return (pairs >> np.uint64(32)).astype(np.float64), good
