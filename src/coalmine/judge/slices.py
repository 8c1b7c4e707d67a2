"""Latency is clustered in time: its unit is one second of one arm, or as many as it takes to hold enough requests.

Neighbours that depend on one another become one outcome, as in batch means (Conway 1963).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from coalmine.judge.policy import Latency
from coalmine.judge.sources.lines import Bools, Floats, Ints


@dataclass(slots=True)
class Slice:
    """An open slice of one arm: whole seconds until it holds enough requests. `slow` has a number for each edge."""

    second: int
    step: int
    epoch: int
    n: int = 0
    slow: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Closed:
    """An outcome: known at line `at`, of a slice that ended at `t`. `bad` is for each edge."""

    at: int
    t: float
    step: int
    canary: bool
    bad: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Timed:
    """One arm's requests in a run of lines, as columns; `at` are their lines."""

    at: Ints
    t: Floats
    step: Ints
    epoch: Ints
    seconds: Floats
    canary: bool


def close(open_slice: Slice | None, timed: Timed, metric: Latency) -> tuple[Slice | None, list[Closed]]:
    """Put `timed` into slices: the one that is open in the end, and an outcome for each that held enough."""
    closed: list[Closed] = []
    if not len(timed.at):
        return open_slice, closed
    edges = (metric.edge_seconds, *metric.more_edges)
    slow = tuple(timed.seconds > edge for edge in edges)
    changes = np.flatnonzero((np.diff(timed.step) != 0) | (np.diff(timed.epoch) != 0)) + 1
    for begin, end in zip([0, *changes.tolist()], [*changes.tolist(), len(timed.at)], strict=True):
        step, epoch = int(timed.step[begin]), int(timed.epoch[begin])
        if open_slice is not None and open_slice.epoch > epoch:
            continue  # requests that were on their way when the split changed
        if open_slice is not None and open_slice.step != step:
            closed += _outcome(open_slice, int(timed.at[begin]), metric, canary=timed.canary)
            open_slice = None
        place = begin
        while True:
            if open_slice is None:
                open_slice = Slice(math.floor(timed.t[place]), step, epoch, slow=[0] * len(edges))
            least = min(end, place + max(0, metric.slice_requests - open_slice.n))
            stop = _reaches(timed.t, open_slice.second + 1, least, end)
            open_slice.n += stop - place
            for edge, mask in enumerate(slow):
                open_slice.slow[edge] += int(np.count_nonzero(mask[place:stop]))
            if stop == end:
                break
            closed += _outcome(open_slice, int(timed.at[stop]), metric, canary=timed.canary)
            open_slice, place = None, stop
    return open_slice, closed


def _outcome(slice_: Slice, at: int, metric: Latency, *, canary: bool) -> list[Closed]:
    if slice_.n < metric.slice_requests:
        return []
    bad = tuple(slow > metric.share * slice_.n for slow in slice_.slow)
    return [Closed(at, float(slice_.second + 1), slice_.step, canary, bad)]


def _reaches(t: Floats, bound: float, begin: int, end: int) -> int:
    """The first place from `begin` on with t >= bound; `end` if there is none. Looks no further than it must."""
    width = 64
    while begin < end:
        hits: Bools = t[begin : min(end, begin + width)] >= bound
        place = int(np.argmax(hits))
        if hits[place]:
            return begin + place
        begin, width = begin + width, width * 2
    return end


def load(data: dict[str, object]) -> Slice:
    """What `asdict` gave; an older version knew one edge."""
    slow = data.get("slow", 0)
    second, step, epoch, n = (int(str(data[name])) for name in ("second", "step", "epoch", "n"))
    return Slice(
        second, step, epoch, n, [int(str(count)) for count in slow] if isinstance(slow, list) else [int(str(slow))]
    )
