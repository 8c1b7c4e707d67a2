"""Requests as columns: what is counted by the thousand is never a Python object of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Users: TypeAlias = NDArray[np.uint64]
_HEX = frozenset("0123456789abcdefABCDEF")
_TOP = 2**64


@dataclass(frozen=True, slots=True)
class Line:
    """One request as the edge saw it. `seconds` is the service's own time where it reported one."""

    t: float
    arm: str  # "primary" or "canary"
    release: str
    weight: int
    epoch: int
    status: int
    upstream_failed: bool
    seconds: float | None
    user: int = 0  # user_number of the log's hash; 0: none
    canary: str = ""  # "namespace/name" where the edge says whose request it was


def user_number(text: str) -> int:
    """64 bits that stand for a user: the log's own hexadecimal digits, or a hash of any other text. 0: no user."""
    if not text:
        return 0
    if len(text) <= 16 and _HEX.issuperset(text):
        return (int(text, 16) + 1) % _TOP or 1
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") or 1


@dataclass(frozen=True, slots=True, eq=False)
class Lines(Sequence[Line]):
    """The columns of N lines. `release` and `owner` are places in `names`; a time that is not known is NaN."""

    t: Floats
    to_canary: Bools
    release: Ints
    weight: Ints
    epoch: Ints
    status: Ints
    upstream_failed: Bools
    seconds: Floats
    user: Users
    owner: Ints
    names: tuple[str, ...] = ("",)

    @classmethod
    def of(cls, lines: Iterable[Line]) -> Lines:
        rows = list(lines)
        codes: dict[str, int] = {"": 0}
        release = [codes.setdefault(row.release, len(codes)) for row in rows]
        owner = [codes.setdefault(row.canary, len(codes)) for row in rows]
        return cls(
            t=np.array([row.t for row in rows], dtype=np.float64),
            to_canary=np.array([row.arm == "canary" for row in rows], dtype=np.bool_),
            release=np.array(release, dtype=np.int64),
            weight=np.array([row.weight for row in rows], dtype=np.int64),
            epoch=np.array([row.epoch for row in rows], dtype=np.int64),
            status=np.array([row.status for row in rows], dtype=np.int64),
            upstream_failed=np.array([row.upstream_failed for row in rows], dtype=np.bool_),
            seconds=np.array([np.nan if row.seconds is None else row.seconds for row in rows], dtype=np.float64),
            user=np.array([row.user for row in rows], dtype=np.uint64),
            owner=np.array(owner, dtype=np.int64),
            names=tuple(codes),
        )

    def __len__(self) -> int:
        return len(self.t)

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> Lines: ...
    def __getitem__(self, place: int | slice) -> Line | Lines:
        if isinstance(place, slice):
            return self.chosen(place)
        seconds = float(self.seconds[place])
        return Line(
            t=float(self.t[place]),
            arm="canary" if self.to_canary[place] else "primary",
            release=self.names[self.release[place]],
            weight=int(self.weight[place]),
            epoch=int(self.epoch[place]),
            status=int(self.status[place]),
            upstream_failed=bool(self.upstream_failed[place]),
            seconds=None if np.isnan(seconds) else seconds,
            user=int(self.user[place]),
            canary=self.names[self.owner[place]],
        )

    def __iter__(self) -> Iterator[Line]:
        return (self[place] for place in range(len(self)))

    def chosen(self, places: slice | Bools | Ints) -> Lines:
        columns = {name: getattr(self, name)[places] for name in _COLUMNS}
        return replace(self, **columns)

    @classmethod
    def merged(cls, one: Lines, other: Lines, order: Ints) -> Lines:
        """Both, line k of the result being line `order[k]` of `one` followed by `other`."""
        names = tuple(dict.fromkeys((*one.names, *other.names)))
        codes = np.array([names.index(name) for name in other.names], dtype=np.int64)
        moved = replace(other, release=codes[other.release], owner=codes[other.owner])
        columns = {name: np.concatenate([getattr(one, name), getattr(moved, name)])[order] for name in _COLUMNS}
        return cls(**columns, names=names)

    def code(self, name: str) -> int:
        """The place of a release in `names`; -1: it is in no line."""
        return self.names.index(name) if name in self.names else -1

    def of_canary(self, name: str) -> Lines:
        """Without the lines that name another Canary."""
        if not name or not self.owner.any():
            return self
        return self.chosen((self.owner == 0) | (self.owner == self.code(name)))

    def newest_edge(self) -> tuple[int, int] | None:
        """(epoch, weight) of the newest split in these lines; None without lines."""
        if not len(self):
            return None
        place = int(np.argmax(self.epoch))
        return int(self.epoch[place]), int(self.weight[place])


_COLUMNS = tuple(item.name for item in fields(Lines) if item.name != "names")
NO_LINES = Lines.of(())
