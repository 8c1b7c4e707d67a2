"""Where users are routed, not requests: each counts once in an analysis, in the arm that first served them.

It holds at most LIMIT users. Beyond that it goes on with a sample: half of all users, then a quarter, and so on,
chosen by a hash of the user that knows neither arm nor outcome. Users outside the sample are forgotten and never
counted again; those inside were all seen from their first request on. So nobody is counted twice, and what is stored
stays bounded.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from coalmine.judge.sources.lines import Bools, Floats, Ints, Users

LIMIT = 100_000  # 12 bytes each where they are stored
_LAST = 2**31 - 1  # milliseconds after the first exposure that fit


class Exposed:
    """The users of one analysis: sorted hashes, milliseconds of each first exposure, and who has voted."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._halvings = 0
        self._origin: float | None = None
        self._users: Users = np.zeros(0, dtype=np.uint64)
        self._since: Ints = np.zeros(0, dtype=np.int64)  # milliseconds since `origin`, doubled; the last bit: has voted
        self._text: str | None = ""

    def __len__(self) -> int:
        return len(self._users)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exposed) and self.dump() == other.dump()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def meet(self, users: Users, t: Floats) -> Bools:
        """Which of these requests, in order, are their users' first. Shape (N,) each; a user of 0 is nobody."""
        first = np.zeros(len(users), dtype=np.bool_)
        mixed, begin = _mix(users), 0
        while begin < len(users):
            begin = self._meet(users[begin:] != 0, mixed[begin:], t[begin:], first=first[begin:]) + begin
        return first

    def _meet(self, named: Bools, mixed: Users, t: Floats, *, first: Bools) -> int:
        """Mark the first requests of new users until it is full; how many requests that took."""
        mine = np.flatnonzero(named & self._sampled(mixed))
        found, places = np.unique(mixed[mine], return_index=True)
        new = ~np.isin(found, self._users, assume_unique=True)
        places = np.sort(mine[places[new]])
        room = self._limit - len(self._users)
        taken = places[:room]
        if len(taken):
            first[taken] = True
            self._keep(mixed[taken], t[taken])
        if len(places) <= room:
            return len(mixed)
        self._halve()
        return int(places[room])

    def _keep(self, mixed: Users, t: Floats) -> None:
        if self._origin is None:
            self._origin = float(t[0])
        since = np.clip(np.round((t - self._origin) * 1000), 0, _LAST).astype(np.int64) * 2
        users = np.concatenate([self._users, mixed])
        order = np.argsort(users, kind="stable")
        self._users, self._since = users[order], np.concatenate([self._since, since])[order]
        self._text = None

    def _sampled(self, mixed: Users) -> Bools:
        sampled: Bools = (mixed & np.uint64((1 << self._halvings) - 1)) == 0
        return sampled

    def _halve(self) -> None:
        self._halvings += 1
        kept = self._sampled(self._users)
        self._users, self._since, self._text = self._users[kept], self._since[kept], None

    def vote(self, user: int, t: float, window: float) -> bool:
        """Whether this is the user's first vote and comes within `window` seconds of the first exposure."""
        mixed = _mix(np.array([user], dtype=np.uint64))[0]
        place = int(np.searchsorted(self._users, mixed))
        if user == 0 or place == len(self._users) or self._users[place] != mixed or self._since[place] & 1:
            return False
        after = t - (self._origin or 0.0) - int(self._since[place] >> 1) / 1000
        if not -0.001 <= after <= window:
            return False
        self._since[place] |= 1
        self._text = None
        return True

    def dump(self) -> dict[str, Any]:
        """JSON: 12 bytes a user, base64."""
        if self._text is None:
            table = self._users.astype("<u8").tobytes() + self._since.astype("<u4").tobytes()
            self._text = base64.b64encode(table).decode()
        return {"limit": self._limit, "halvings": self._halvings, "origin": self._origin, "table": self._text}

    @classmethod
    def load(cls, data: dict[str, Any]) -> Exposed:
        exposed = cls(int(data["limit"]))
        table = base64.b64decode(data["table"])
        count = len(table) // 12
        exposed._users = np.frombuffer(table, dtype="<u8", count=count).astype(np.uint64)
        exposed._since = np.frombuffer(table, dtype="<u4", offset=8 * count).astype(np.int64)
        exposed._halvings, exposed._origin, exposed._text = int(data["halvings"]), data["origin"], data["table"]
        return exposed


def _mix(users: Users) -> Users:
    """A bijection that spreads every bit (the finaliser of SplitMix64, Steele, Lea & Flood 2014)."""
    mixed = users ^ (users >> np.uint64(30))
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    spread: Users = mixed ^ (mixed >> np.uint64(31))
    return spread
