"""Where users are routed, not requests: each counts once in an analysis, in the arm that first served them.

Whoever gave a first request, and whoever gave a first vote, is such a set of its own: a person's name at the edge and
in a vote need not be the same.

It holds at most LIMIT users. Beyond that it goes on with a sample: half of all users, then a quarter, and so on,
chosen by a hash of the user that knows neither arm nor outcome. Users outside the sample are forgotten and never
counted again; those inside were all seen from their first request on. So nobody is counted twice, and what is stored
stays bounded.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from coalmine.judge.sources.lines import Bools, Users

LIMIT = 100_000  # 8 bytes each where they are stored


class Exposed:
    """The users of one analysis that have counted: sorted hashes."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._halvings = 0
        self._users: Users = np.zeros(0, dtype=np.uint64)
        self._text: str | None = ""

    def __len__(self) -> int:
        return len(self._users)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exposed) and self.dump() == other.dump()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def meet(self, users: Users) -> Bools:
        """Which of these, in order, are their users' first. Shape (N,); a user of 0 is nobody."""
        first = np.zeros(len(users), dtype=np.bool_)
        mixed, begin = _mix(users), 0
        while begin < len(users):
            begin = self._meet(users[begin:] != 0, mixed[begin:], first=first[begin:]) + begin
        return first

    def _meet(self, named: Bools, mixed: Users, *, first: Bools) -> int:
        """Mark the first requests of new users until it is full; how many requests that took."""
        mine = np.flatnonzero(named & self._sampled(mixed))
        found, places = np.unique(mixed[mine], return_index=True)
        new = ~np.isin(found, self._users, assume_unique=True)
        places = np.sort(mine[places[new]])
        room = self._limit - len(self._users)
        taken = places[:room]
        if len(taken):
            first[taken] = True
            self._users, self._text = np.sort(np.concatenate([self._users, mixed[taken]])), None
        if len(places) <= room:
            return len(mixed)
        self._halve()
        return int(places[room])

    def _sampled(self, mixed: Users) -> Bools:
        sampled: Bools = (mixed & np.uint64((1 << self._halvings) - 1)) == 0
        return sampled

    def _halve(self) -> None:
        self._halvings += 1
        self._users, self._text = self._users[self._sampled(self._users)], None

    def dump(self) -> dict[str, Any]:
        """JSON: 8 bytes a user, base64."""
        if self._text is None:
            self._text = base64.b64encode(self._users.astype("<u8").tobytes()).decode()
        return {"limit": self._limit, "halvings": self._halvings, "table": self._text}

    @classmethod
    def load(cls, data: dict[str, Any]) -> Exposed:
        exposed = cls(int(data["limit"]))
        exposed._users = np.frombuffer(base64.b64decode(data["table"]), dtype="<u8").astype(np.uint64)
        exposed._halvings, exposed._text = int(data["halvings"]), data["table"]
        return exposed


def _mix(users: Users) -> Users:
    """A bijection that spreads every bit (the finaliser of SplitMix64, Steele, Lea & Flood 2014)."""
    mixed = users ^ (users >> np.uint64(30))
    mixed = mixed * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    spread: Users = mixed ^ (mixed >> np.uint64(31))
    return spread
