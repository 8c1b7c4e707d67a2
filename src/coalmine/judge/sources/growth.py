"""Samples of a resource (memory, CPU) into outcomes: above its limit, and the canary growing where the primary doesn't.

A window begins when both arms have a sample. At its end each arm's growth is the mean over the processes that were
there at both ends, so that a scaled arm is not a grown one; the window is bad for the canary where it grew by more
than the primary and `growth_margin` of its own level, and the other way round. The sources keep this in their position.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from coalmine.judge.policy.metrics import Resource

Values = dict[str, dict[str, list[float]]]  # by arm and process: (t, value)
_ARMS = ("canary", "primary")
_TOO_OLD = 300.0  # seconds without a sample: a process that is gone


class Sample(NamedTuple):
    """One process's value. `process` tells those of an arm apart; "" where there is one."""

    t: float
    arm: str
    value: float
    process: str = ""


class Counted(NamedTuple):
    """What one arm adds to a part of the metric."""

    arm: str
    part: str
    n: int
    e: int


@dataclass(slots=True)
class Growth:
    """The open window of one metric. `dump` and `load` are exact."""

    start: float | None = None
    before: Values = field(default_factory=dict)
    last: Values = field(default_factory=dict)

    def dump(self) -> list[Any]:
        return [self.start, self.before, self.last]

    @classmethod
    def load(cls, data: list[Any]) -> Growth:
        return cls(*data)

    def take(self, rules: Resource, samples: Iterable[Sample]) -> list[Counted]:
        """Samples that are no newer than their process's last are passed over."""
        above: dict[str, list[int]] = {}
        newest = -math.inf
        for sample in samples:
            known = self.last.setdefault(sample.arm, {})
            if sample.process in known and sample.t <= known[sample.process][0]:
                continue
            known[sample.process] = [sample.t, sample.value]
            newest = max(newest, sample.t)
            counts = above.setdefault(sample.arm, [0, 0])
            counts[0] += 1
            counts[1] += rules.limit is not None and sample.value > rules.limit
        found = [] if rules.limit is None else [Counted(arm, "limit", n, e) for arm, (n, e) in above.items()]
        return found + (self._windows(rules, newest) if above else [])

    def _windows(self, rules: Resource, now: float) -> list[Counted]:
        for arm in self.last:
            self.last[arm] = {key: at for key, at in self.last[arm].items() if now - at[0] <= _TOO_OLD}
        if not all(self.last.get(arm) for arm in _ARMS):
            self.start = None
            return []
        until = min(max(t for t, _ in self.last[arm].values()) for arm in _ARMS)  # samples of both arms reach so far
        if self.start is None:
            self._begin(until)
            return []
        if until - self.start < rules.window_seconds:
            return []
        canary, primary = (self._grown(arm) for arm in _ARMS)
        self._begin(until)
        if canary is None or primary is None:
            return []
        apart = canary[0] - primary[0]
        return [
            Counted("canary", "growth", 1, int(apart > rules.growth_margin * canary[1])),
            Counted("primary", "growth", 1, int(-apart > rules.growth_margin * primary[1])),
        ]

    def _begin(self, start: float) -> None:
        self.start = start
        self.before = {arm: {key: list(at) for key, at in self.last[arm].items()} for arm in _ARMS}

    def _grown(self, arm: str) -> tuple[float, float] | None:
        """Mean growth and mean level at the start, of the processes with a newer sample at the end."""
        ends = [(was[1], self.last[arm][key][1]) for key, was in self.before[arm].items() if self._lives(arm, key, was)]
        if not ends:
            return None
        return sum(b - a for a, b in ends) / len(ends), abs(sum(a for a, _ in ends)) / len(ends)

    def _lives(self, arm: str, key: str, was: list[float]) -> bool:
        return key in self.last[arm] and self.last[arm][key][0] > was[0]
