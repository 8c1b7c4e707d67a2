"""Lines exactly as nginx/log.conf.j2 lays them out, many at once. Any other line is left to the JSON parser.

All fields stand in a fixed order, so a line is walked from place to place: names are compared, lengths are found, and
what hardly varies (arm, release, weight, epoch, status) is compared with the few texts that were met before. Names,
numbers and the line's end are checked; only text of a fixed length (ids, traceparent) is passed over unread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from coalmine.judge.sources.lines import NO_LINES, Bools, Floats, Ints, Lines
from coalmine.judge.sources.words import Text, Words, begins, decimal, eight_digits, inside, place_of, right_aligned

_ROOM = 1200  # bytes behind a line's begin that may be looked at: one that is nearer to the end is not walked
_NUMBER = rb"(0|[1-9][0-9]{0,8})"
_ROUTED = re.compile(
    rb'","arm":"(primary|canary|)","slot":"(?:blue|green|)","release":"([A-Za-z0-9._+-]*)","weight":' + _NUMBER
    + rb',"epoch":' + _NUMBER + rb',"method":"[A-Z_-]*","path":"'
)  # fmt: skip
_ANSWERED = re.compile(rb'","status":(0|[1-9][0-9]{2}),"upstream_status":"([0-9, :-]*)","seconds":')
_KEPT = 64  # texts of a kind that are remembered
_NEW = 32  # lines of another kind in one call: beyond them, what is left goes to the JSON parser
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Routed:
    """The part of a line that tells where its request went."""

    arm: str
    release: str
    weight: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The part that tells what came back."""

    status: int
    upstream: str


@dataclass(frozen=True, slots=True)
class Walked:
    """What was found: `fits` says which of the lines these are (shape (N,)); the columns hold those that count."""

    fits: Bools
    counts: Ints  # their places among all N lines
    lines: Lines


class Few(Generic[Value]):
    """A stretch of text that takes few values: met once it is read with `pattern`, then only compared."""

    def __init__(self, pattern: re.Pattern[bytes], width: int, read: Callable[[re.Match[bytes]], Value]) -> None:
        self._pattern, self._width, self._read = pattern, width, read
        self._met: list[tuple[bytes, Value]] = []

    def find(self, text: Text, at: Ints, alive: Bools) -> tuple[Ints, list[Value], Ints]:
        """For each place its value's number (-1: none) and length, and the values."""
        kind, length = np.full(len(at), -1, dtype=np.int64), np.zeros(len(at), dtype=np.int64)
        places = np.flatnonzero(alive)
        rows = text.rows(at[places], self._width)
        values: list[Value] = []
        unknown = 0
        while len(places) and unknown <= _NEW:
            met = self._met_in(rows[0].tobytes())
            if met is None:
                rows, places, unknown = rows[1:], places[1:], unknown + 1
                continue
            written, value = met
            hit = begins(rows, written)
            kind[places[hit]], length[places[hit]] = len(values), len(written)
            values.append(value)
            rows, places = rows[~hit], places[~hit]
        return kind, values, length

    def _met_in(self, row: bytes) -> tuple[bytes, Value] | None:
        """The text that `row` begins with, met before or read now; None where there is none of this kind."""
        for met in self._met:
            if row.startswith(met[0]):
                return met
        found = self._pattern.match(row)
        if found is None:
            return None
        self._met = [(found[0], self._read(found)), *self._met[: _KEPT - 1]]
        return self._met[0]


def _routed(found: re.Match[bytes]) -> Routed:
    return Routed(found[1].decode(), found[2].decode(), int(found[3]), int(found[4]))


def _answered(found: re.Match[bytes]) -> Answered:
    return Answered(int(found[1]), found[2].decode())


class Layout:
    """Walks lines. It remembers texts that it has met, and nothing that changes what is found."""

    def __init__(self) -> None:
        self._routed = Few(_ROUTED, 176, _routed)
        self._answered = Few(_ANSWERED, 88, _answered)

    def walk(self, text: Text, begins: Ints, ends: Ints) -> Walked:
        """The lines from `begins` to `ends` (the places of their newlines). Shapes (N,)."""
        fits = begins + _ROOM <= len(text.data)
        inside = np.flatnonzero(fits)
        if not len(inside):
            return Walked(fits, inside, NO_LINES)
        begin, end = begins[inside], ends[inside]
        good, t = _head(text, begin)
        empty = text.bytes[begin + 74] == ord('"')
        at = begin + np.where(empty, 74, 110)
        kinds, ways, length = self._routed.find(text, at, good)
        good &= kinds >= 0
        at = at + length
        path = text.quoted(at, 264)
        good &= path >= 0
        answers, given, length = self._answered.find(text, at + path, good)
        good &= answers >= 0
        at = at + path + length
        good, seconds, at = _times(text, at, good)
        good, again, user, at = _client(text, at, good)
        good &= _tail(text, at, end)
        fits[inside] = good
        lines, counts = _columns((ways, kinds), (given, answers), rest=(t, seconds, user, good & ~again))
        return Walked(fits, inside[counts], lines)


def _head(text: Text, begin: Ints) -> tuple[Bools, Floats]:
    """`{"t":1795476394.953,"id":"..","prediction":"`"""
    rows = text.rows(begin, 80)
    good = begins(rows, b'{"t":')
    for place, part in ((18, b',"id":"'), (58, b'","predi'), (66, b'ction":"')):
        word = inside(rows, place) >> np.uint64(8) if len(part) == 7 else inside(rows, place)
        good &= word == int.from_bytes(part, "little")
    high, one = eight_digits(inside(rows, 5))
    words = inside(rows, 13)  # 94.953,"
    seconds, thousandths = (words & np.uint64(0xFFFF)) << np.uint64(24), (words >> np.uint64(24)) << np.uint64(40)
    low, other = eight_digits(thousandths | seconds | np.uint64(0x303030))
    good &= one & other & (((words >> np.uint64(16)) & np.uint64(0xFF)) == ord("."))
    return good, (high * 100_000 + low) / 1000


def _times(text: Text, at: Ints, good: Bools) -> tuple[Bools, Floats, Ints]:
    """`0.016,"upstream_seconds":"0.009","service_ms":"6.7`, and which of the three counts."""
    words = text.words(at)
    length = place_of(words, b",")
    seconds, number = decimal(words, np.maximum(length, 1))
    good &= number & (length < 8) & _is_json(words, length)
    at = at + length
    good &= text.is_literal(at, b',"upstream_seconds":"')
    at = at + 21
    for literal, scale in ((b'","service_ms":"', 1.0), (b'","attempt":"', 1000.0)):
        words = text.words(at)
        length = place_of(words, b'"')
        value, number = decimal(words, np.clip(length, 1, 7))
        good &= (number & (length < 8)) | (length == 0)
        seconds = np.where(length > 0, value / scale, seconds)
        good &= text.is_literal(at + length, literal)
        at = at + length + len(literal)
    return good, seconds, at


def _client(text: Text, at: Ints, good: Bools) -> tuple[Bools, Bools, NDArray[np.uint64], Ints]:
    """`1","user":"0123456789`: whether it is a client's retry, and the user's number."""
    attempt = text.bytes[at]
    given = attempt != ord('"')
    good &= ~given | ((attempt >= ord("0")) & (attempt <= ord("9")))
    again = given & (attempt > ord("1"))
    at = at + given
    good &= text.is_literal(at, b'","user":"')
    at = at + 10
    named = text.bytes[at] != ord('"')
    user = np.zeros(len(at), dtype=np.uint64)
    if named.any():
        number = text.hexadecimal(at[named], 10)
        user[named] = (number + 1).astype(np.uint64)
        good[named] &= number >= 0
    at = at + np.where(named, 10, 0)
    return good & text.is_literal(at, b'","bytes":'), again, user, at + 10


def _tail(text: Text, at: Ints, end: Ints) -> Bools:
    """`686,"tls":"TLSv1.3","traceparent":"","client_id":""}`: nothing here counts, but a torn line must be seen."""
    words = text.words(at)
    length = place_of(words, b",")
    _, good = eight_digits(right_aligned(words, np.clip(length, 1, 7)))
    good &= (length < 8) & _is_json(words, length)
    at = at + length
    good &= text.is_literal(at, b',"tls":"')
    at = at + 8
    for literal, longest in ((b'","traceparent":"', 7), (b'","client_id":"', 55)):
        length = np.where(text.bytes[at] == ord('"'), 0, longest)
        good &= text.is_literal(at + length, literal)
        at = at + length + len(literal)
    long = text.bytes[at] != ord('"')
    length = np.zeros(len(at), dtype=np.int64)
    if long.any():
        length[long] = text.quoted(at[long], 136)
    good &= (length >= 0) & (at + length + 2 == end) & (text.bytes[end - 1] == ord("}"))
    return good


def _is_json(words: Words, length: Ints) -> Bools:
    """Not empty, and no 0 before another digit."""
    second = (words >> np.uint64(8)) & np.uint64(0xFF)
    padded: Bools = ((words & np.uint64(0xFF)) == ord("0")) & (length > 1) & (second != ord("."))
    return (length > 0) & ~padded


def _columns(
    routed: tuple[list[Routed], Ints], answered: tuple[list[Answered], Ints], *, rest: tuple[NDArray[Any], ...]
) -> tuple[Lines, Ints]:
    """The lines that count, and their places. `rest`: t, seconds, user, and which lines are whole first attempts."""
    (ways, kinds), (answers, codes), (t, seconds, user, whole) = routed, answered, rest
    if not ways or not answers:
        return NO_LINES, np.zeros(0, dtype=np.int64)
    served = np.array([way.arm != "" for way in ways])
    limited = np.array([counts_not(answer.status, answer.upstream) for answer in answers])
    places = np.flatnonzero(whole & served[kinds] & ~limited[codes])
    kinds, codes = kinds[places], codes[places]
    names = ("", *dict.fromkeys(way.release for way in ways if way.release))
    lines = Lines(
        t=t[places],
        to_canary=np.array([way.arm == "canary" for way in ways])[kinds],
        release=np.array([names.index(way.release) for way in ways], dtype=np.int64)[kinds],
        weight=np.array([way.weight for way in ways], dtype=np.int64)[kinds],
        epoch=np.array([way.epoch for way in ways], dtype=np.int64)[kinds],
        status=np.array([answer.status for answer in answers], dtype=np.int64)[codes],
        upstream_failed=np.array([last(answer.upstream).startswith("5") for answer in answers])[codes],
        seconds=seconds[places],
        user=user[places],
        owner=np.zeros(len(places), dtype=np.int64),
        names=names,
    )
    return lines, places


def counts_not(status: int, upstream: str) -> bool:
    """Whether the edge's own limit answered: the arm never saw the request."""
    return status == 429 and upstream in ("", "-")


def last(upstream: str) -> str:
    """`$upstream_status` lists every server tried; the last one answered."""
    return upstream.replace(":", ",").rsplit(",", maxsplit=1)[-1].strip()
