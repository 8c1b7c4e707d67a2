"""Streams of counts past the judge's evidence, many runs at once: when is a release rolled back, when would it pass?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from coalmine.judge.manyfold import Batch
from coalmine.judge.policy import Policy
from coalmine.judge.simulate import simulated

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Look = list[tuple[int, Ints]]  # all polls of one time: (index of the step, counts (runs, 4))


@dataclass(frozen=True, slots=True)
class Watched:
    """Canary requests (`canary`) and requests of both arms (`both`) at the rollback, NaN where there was none."""

    canary: Floats
    both: Floats

    @property
    def fired(self) -> NDArray[np.bool_]:
        return np.isfinite(self.canary)


def watch(
    policy: Policy, looks: Iterable[Look], *, runs: int, steps: tuple[int, ...] = (0,), kind: type[Batch] = Batch
) -> Watched:
    """Until the stream ends. A poll with an empty arm is none. `kind`: an engine other than the judge's own."""
    batch = kind(policy, simulated(policy), runs=runs, steps=steps)
    seen, found = np.zeros((runs, 2)), np.full((runs, 2), np.nan)
    for look in looks:
        touched = np.zeros(runs, dtype=np.bool_)
        for row, counts in look:
            alive = np.isnan(found[:, 0]) & counts.any(axis=1)
            seen[alive] += np.stack([counts[alive, 0], counts[alive, 0] + counts[alive, 2]], axis=1)
            batch.look(np.flatnonzero(alive), counts[alive], np.full(int(alive.sum()), row))
            touched |= alive
        which = np.flatnonzero(touched)
        fired = which[batch.fires(which)]
        found[fired] = seen[fired]
        if not np.isnan(found[:, 0]).any():
            break
    return Watched(found[:, 0], found[:, 1])


def passed(policy: Policy, looks: Iterable[Look], *, runs: int) -> Floats:
    """Requests of both arms at which a release first passes, NaN where it never does; rollbacks do not interfere."""
    batch = Batch(policy, simulated(policy), runs=runs, steps=(0,))
    seen, found = np.zeros(runs), np.full(runs, np.nan)
    for look in looks:
        for row, counts in look:
            which = np.flatnonzero(np.isnan(found))
            seen[which] += counts[which][:, ::2].sum(axis=1)
            batch.look(which, counts[which], np.full(which.size, row))
            through = which[batch.passes(which)]
            found[through] = seen[through]
        if not np.isnan(found).any():
            break
    return found


def z_test(looks: Iterable[Look], *, runs: int, critical: float = 2.326) -> NDArray[np.bool_]:
    """Who is rolled back by a z-test on the totals at p < .01 (one-sided) at every look."""
    totals, fired = np.zeros((runs, 4)), np.zeros(runs, dtype=np.bool_)
    for look in looks:
        totals += sum(counts for _, counts in look)
        n_c, e_c, n_b, e_b = totals.T
        pooled = (e_c + e_b) / np.maximum(n_c + n_b, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = (e_c / n_c - e_b / n_b) / np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_b))
        fired |= np.nan_to_num(z) > critical
    return fired


def upper(count: int, of: int) -> float:
    """The upper 99 % Clopper-Pearson bound of a share."""
    return 1.0 if count == of else float(beta.ppf(0.99, count + 1, of - count))


def lower(count: int, of: int) -> float:
    """The lower 99 % Clopper-Pearson bound of a share."""
    return 0.0 if count == 0 else float(beta.ppf(0.01, count, of - count + 1))


def drawn(rng: np.random.Generator, n_c: Ints, p_c: float, n_b: Ints, p_b: float) -> Ints:
    """Counts (runs, 4) of binomial outcomes."""
    return np.stack([n_c, rng.binomial(n_c, p_c), n_b, rng.binomial(n_b, p_b)], axis=1)


def cut(stream: Iterable[tuple[int, Ints]], outcomes: int) -> Iterable[Look]:
    """Gather counts until both arms have `outcomes`, as the judge cuts polls, each run by itself."""
    pending: Ints | None = None
    for row, counts in stream:
        pending = counts.copy() if pending is None else pending + counts
        full = np.asarray((pending[:, ::2] >= outcomes).all(axis=1), dtype=np.bool_)
        if full.any():
            yield [(row, np.where(full[:, None], pending, 0))]
            pending[full] = 0
