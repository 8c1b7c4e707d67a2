"""Latency in slices of a second, and labels that come late: the two that break a test on plain counts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.judge.watching import Ints, Look, cut
from coalmine.judge.policy import Policy, load_policy

SLICES = "metrics: {errors: null, feedback: null, latency: {}}"
PLAIN = "metrics: {errors: {tolerated_rate: null}, latency: null, feedback: null}"
LABELS = "metrics: {errors: null, latency: null, feedback: {role: guardrail}}"
SECONDS = 600
EVERY = 1 / 20  # a stall in a second
STEPS = (5, 50)


def slices() -> Policy:
    """The default policy's latency metric alone."""
    return load_policy(SLICES)


def plain() -> Policy:
    """The same engine on counts of slow requests: the negative control."""
    return load_policy(PLAIN)


def labels() -> Policy:
    return load_policy(LABELS)


def latency(
    regime: str, *, weight: int, runs: int, seed: int, rate: float = 200.0, by_slice: bool = True
) -> Iterator[Look]:
    """Ten minutes of two equal models, one process each. `load`: an arm is the slower the more it has to do.
    `shared stalls` and `own stalls`: now and then all that arrives within 200 ms waits, in both arms or in either.
    """
    rng = np.random.default_rng(seed)
    seconds = _seconds(rng, regime, weight=weight, runs=runs, rate=rate)
    if by_slice:
        return iter(cut(((0, counts) for counts in _sliced(seconds)), 5))
    return iter(cut(((0, counts) for counts in seconds), 10))


def _seconds(rng: np.random.Generator, regime: str, *, weight: int, runs: int, rate: float) -> Iterator[Ints]:
    """Requests and slow ones of both arms, second by second: (runs, 4)."""
    shares = (weight / 100, 1 - weight / 100)
    for _ in range(SECONDS):
        together = rng.random(runs) < EVERY
        found = []
        for share in shares:
            n = rng.poisson(rate * share, runs)
            stalled = together if regime == "shared stalls" else rng.random(runs) < EVERY
            waits = rng.binomial(n, 0.2) * stalled if "stalls" in regime else np.zeros(runs, dtype=np.int64)
            # a queue's tail beyond the edge grows with the load; the process could do 1.25 times the whole traffic
            slow = 0.01 if "stalls" in regime else 0.05 * share**2 / (1.25 - share)
            found += [n, waits + rng.binomial(n - waits, slow)]
        yield np.stack(found, axis=1)


def _sliced(seconds: Iterator[Ints], *, least: int = 5, share: float = 0.1) -> Iterator[Ints]:
    """One outcome for each arm and slice: a slice grows by whole seconds until it holds `least` requests."""
    open_: Ints | None = None
    for counts in seconds:
        open_ = counts.copy() if open_ is None else open_ + counts
        closed = np.zeros_like(open_)
        for arm in (0, 2):
            full = open_[:, arm] >= least
            closed[:, arm] = full
            closed[:, arm + 1] = full & (open_[:, arm + 1] > share * open_[:, arm])
            open_[full, arm : arm + 2] = 0
        yield closed


def late_labels(*, runs: int, seed: int, by_cell: bool, each: float = 600.0, per_second: float = 2.0) -> Iterator[Look]:
    """Equal models, votes five minutes late on average. As the ramp goes from 5 to 50 % the traffic shifts, and half
    of all predictions are disliked instead of a tenth. One look each half minute.
    """
    rng = np.random.default_rng(seed)
    bins = int((2 * each + 900) / 30)
    cells = np.zeros((runs, bins, 2, 4), dtype=np.int64)
    for run in range(runs):
        routed = rng.uniform(0.0, 2 * each, rng.poisson(2 * each * per_second))
        arrival = ((routed + rng.exponential(300.0, routed.size)) // 30).astype(np.int64)
        step = (routed // each).astype(np.int64)
        canary = rng.random(routed.size) < np.asarray(STEPS)[step] / 100
        bad = rng.random(routed.size) < np.where(step == 0, 0.1, 0.5)
        seen = arrival < bins
        _count(cells[run], arrival[seen], step[seen], canary[seen], bad[seen])
    for i in range(bins):
        if by_cell:
            yield [(row, cells[:, i, row]) for row in range(2)]
        else:
            yield [(min(1, int(30 * i / each)), cells[:, i].sum(axis=1))]


def _count(cells: Ints, arrival: Ints, step: Ints, canary: NDArray[np.bool_], bad: NDArray[np.bool_]) -> None:
    column = np.where(canary, 0, 2)
    np.add.at(cells, (arrival, step, column), 1)
    np.add.at(cells, (arrival[bad], step[bad], column[bad] + 1), 1)
