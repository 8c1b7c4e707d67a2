"""Raw counters into what they rose by: per series, resets and newcomers handled, exact over restarts of the judge.

Never more is counted than happened since the first reading. A value below the last is a process that began anew: all of
it is new. A series that was not there before begins at 0 where its process (job, instance, pod) was already known:
the first failure makes such a series. What a process that was never seen before has counted so far may be years old,
so it is only remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from coalmine.judge.sources.promapi import Series

_PROCESS = ("job", "instance", "pod", "exported_pod", "controller_pod")
_KEPT = 3600.0  # seconds for which a process that is gone is remembered: its counters may come back


@dataclass(slots=True)
class Process:
    """One scraped process: when it was first and last seen, and the last (t, value) of each of its series."""

    since: float
    seen: float
    series: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Counters:
    """The last raw value of every series. `dump` and `load` are exact."""

    processes: dict[str, Process] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        return {key: [p.since, p.seen, p.series] for key, p in self.processes.items()}

    @classmethod
    def load(cls, data: dict[str, Any]) -> Counters:
        return cls({key: Process(since, seen, dict(series)) for key, (since, seen, series) in data.items()})

    def meet(self, found: Iterable[Series], *, first: bool) -> None:
        """Note the processes of one whole reading, before any `rise`. At the first one nothing is new."""
        fresh: dict[str, Process] = {}
        for one in found:
            key = identity(one.labels)
            begin, end = one.samples[-1 if first else 0][0], one.samples[-1][0]
            if key in self.processes:
                self.processes[key].seen = max(self.processes[key].seen, end)
            else:
                process = fresh.setdefault(key, Process(begin, end))
                process.since = max(process.since, begin) if first else min(process.since, begin)
                process.seen = max(process.seen, end)
        self.processes |= fresh

    def rise(self, group: str, one: Series, *, first: bool) -> float:
        """What the counter rose by since it was last read. `group` tells uses of one series apart."""
        process = self.processes[identity(one.labels)]
        key = _key(group, one.labels)
        last = list(one.samples[-1]) if first else process.series.get(key)
        if last is None:
            t, value = one.samples[0]
            last = [t - 1.0, 0.0] if t > process.since else [t, value]
        rose = 0.0
        for t, value in one.samples:
            if t > last[0] and value >= 0:
                rose += value - last[1] if value >= last[1] else value
                last = [t, value]
        process.series[key] = last
        return rose

    def forget(self, now: float) -> None:
        """Drop processes that are long gone, with all of their series at once."""
        self.processes = {key: p for key, p in self.processes.items() if now - p.seen <= _KEPT}


def identity(labels: dict[str, str]) -> str:
    """The scraped process of a series, by the labels that name it."""
    return _digest([(name, labels[name]) for name in _PROCESS if name in labels])


def _key(group: str, labels: dict[str, str]) -> str:
    return _digest([("", group), *sorted(labels.items())])


def _digest(pairs: list[tuple[str, str]]) -> str:
    return hashlib.blake2b(repr(pairs).encode(), digest_size=8).hexdigest()
