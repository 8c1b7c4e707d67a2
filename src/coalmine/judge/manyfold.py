"""The state of one Bernoulli metric in many analyses at once: `fold` and `decide`, vectorised over runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from coalmine.judge import evidence
from coalmine.judge.fold import rollback_weights
from coalmine.judge.policy import Against, Margins, Policy

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
LONGEST_SUPPORT = 256  # as in series: beyond it nothing is raised


@lru_cache(maxsize=200_000)
def _tolerated(n: int, e: int, rate: float) -> float:
    return float(evidence.log_e_tolerated(n, e, rate))


@lru_cache(maxsize=200_000)
def _intolerable(n: int, e: int, rate: float) -> float:
    return float(evidence.log_e_intolerable(n, e, rate))


@lru_cache(maxsize=64)
def _law(n_c: int, n_b: int, bad: int, psi0: float, psi_m: float) -> Floats:
    """The likelihoods of every outcome with these totals: (outcomes, POINTS)."""
    k = np.arange(max(0, bad - n_b), min(bad, n_c) + 1)
    every = np.stack([np.full(k.size, n_c), k, np.full(k.size, n_b), bad - k], axis=1)
    return evidence.fnch_log_pmf(every, evidence.priors(psi0, psi_m).points)


@dataclass(slots=True)
class Batch:
    """`since` (runs, steps, POINTS): ln likelihood since each step began; `counts` (runs, steps, 4) by step."""

    policy: Policy
    metric: str
    runs: int
    steps: tuple[int, ...]
    since: Floats = field(init=False)
    counts: Ints = field(init=False)
    by_step: Floats = field(init=False)  # (runs, steps): ln E to roll back since each step began, or a bound above it
    exact: Mask = field(init=False)  # (runs,): which of the two
    seen: Ints = field(init=False)  # steps so far
    boost: Floats = field(init=False)  # (runs,): ln of what was raised on top of the evidence
    weight: float = field(init=False)
    line: float = field(init=False)  # ln of the evidence with which this metric alone has the release rolled back

    def __post_init__(self) -> None:
        shape = (self.runs, len(self.steps))
        self.since = np.zeros((*shape, evidence.POINTS))
        self.counts = np.zeros((*shape, 4), dtype=np.int64)
        self.by_step = np.zeros(shape)
        self.seen = np.zeros(self.runs, dtype=np.int64)
        self.boost = np.zeros(self.runs)
        self.exact = np.ones(self.runs, dtype=np.bool_)
        self.weight = rollback_weights(self.policy, baked=False)[self.metric]
        self.line = -math.log(self.policy.alpha) - math.log(self.weight)

    @property
    def margins(self) -> Margins:
        return self.policy.margins(self.metric)

    @property
    def against(self) -> Against:
        return self.policy.metrics[self.metric].against

    @property
    def prior(self) -> evidence.Priors:
        return evidence.priors(self.margins.odds_ratio_rollback, self.margins.odds_ratio_promote, self.margins.faults)

    def look(self, which: Ints, polls: Ints, row: Ints) -> None:
        """One poll (n_c, e_c, n_b, e_b) for each run of `which`, in the step with index `row`."""
        self.counts[which, row] += polls
        self.seen[which] = np.maximum(self.seen[which], row + 1)
        teaches = (polls[:, 0] > 0) & (polls[:, 2] > 0) & (polls[:, 1] + polls[:, 3] > 0)
        if self.against is Against.TOLERATED or not teaches.any():
            return
        which, row, polls = which[teaches], row[teaches], polls[teaches]
        if self.against is Against.BASELINE:
            self._raise(which, polls, row)
        outcomes, back = np.unique(polls, axis=0, return_inverse=True)
        law = evidence.fnch_log_pmf(outcomes, self.prior.points)[back.reshape(-1)]
        most = law[:, :-2][:, self.prior.points[:-2] > self.prior.points[-2]].max(axis=1) - law[:, -2]
        for step in range(int(row.max()) + 1):
            reached = row >= step
            runs = which[reached]
            self.since[runs, step] += law[reached]
            self.by_step[runs, step] += most[reached]
        self.exact[which] = False

    def _settle(self, which: Ints) -> None:
        """Make the evidence of these runs exact where it is only known to be at most so much."""
        which = which[~self.exact[which]]
        for step in range(int(self.seen[which].max(initial=0))):
            runs = which[self.seen[which] > step]
            self.by_step[runs, step] = evidence.log_e_rollback(self.since[runs, step], self.prior)
        self.exact[which] = True

    def _raise(self, which: Ints, polls: Ints, row: Ints) -> None:
        """What is not lost by overshooting the line (evidence.overshoot). No outcome raises the evidence by more than
        1 over its null probability, so only where the rarest one could reach the line is there anything to find.
        """
        n_c, bad, n_b = polls[:, 0], polls[:, 1] + polls[:, 3], polls[:, 2]
        most = np.minimum(bad, n_c)
        span = most - np.maximum(0, bad - n_b)
        rarest = np.stack([n_c, most, n_b, bad - most], axis=1)
        outcomes, back = np.unique(rarest, axis=0, return_inverse=True)
        law = evidence.fnch_log_pmf(outcomes, self.prior.points)[back.reshape(-1)]
        room = self.line - self.boost[which] - self._mixed(self.by_step[which], self.seen[which])
        near = np.flatnonzero((-law[:, -2] > room) & (span > 0) & (span <= LONGEST_SUPPORT))
        self._settle(which[near])
        runs, row = which[near], row[near]
        room = self.line - self.boost[runs] - self._mixed(self.by_step[runs], self.seen[runs])
        highest = self._after(runs, law[near], row) > self.line - self.boost[runs]
        for i in np.flatnonzero((room > 0) & highest):
            totals = (int(n_c[near[i]]), int(n_b[near[i]]), int(bad[near[i]]))
            self.boost[runs[i]] += self._raised(runs[[i]], totals, row[[i]], room=float(room[i]))

    def _after(self, runs: Ints, law: Floats, row: Ints) -> Floats:
        """ln E of each run, had its poll the likelihoods `law`."""
        after = self.by_step[runs]
        for step in range(int(row.max(initial=-1)) + 1):
            reached = row >= step
            since = self.since[runs[reached], step] + law[reached]
            after[reached, step] = evidence.log_e_rollback(since, self.prior)
        return self._mixed(after, self.seen[runs])

    def _raised(self, run: Ints, totals: tuple[int, int, int], row: Ints, *, room: float) -> float:
        """ln of the boost of one run's poll, given all that it could have been."""
        law = _law(*totals, self.margins.odds_ratio_rollback, self.margins.odds_ratio_promote)
        each = np.zeros(len(law), dtype=np.int64)
        before = self._mixed(self.by_step[run], self.seen[run])
        return evidence.log_boost(law[:, -2], self._after(run[each], law, row[each]) - before, room)

    def log_e(self, which: Ints) -> Floats:
        """ln E to roll back of each run of `which`, without the boost."""
        found = []
        if self.against is not Against.TOLERATED:
            self._settle(which)
            found.append(self._mixed(self.by_step[which], self.seen[which]))
        rate = self.margins.tolerated_rate
        if self.against is not Against.BASELINE and rate is not None:
            totals = np.cumsum(self.counts[which, ::-1], axis=1)[:, ::-1]
            own = [[_intolerable(int(n), int(e), rate) for n, e in steps[:, :2]] for steps in totals]
            found.append(self._mixed(np.asarray(own).reshape(which.size, -1), self.seen[which]))
        return np.asarray(np.minimum.reduce(found))

    def fires(self, which: Ints) -> Mask:
        """Where the mean over all metrics has reached 1/alpha, the others being 1. Against both, the second e-value is
        computed only where the first is large enough.
        """
        needed = math.log((1.0 / self.policy.alpha - (1.0 - self.weight)) / self.weight)
        fires = np.ones(which.size, dtype=np.bool_)
        if self.against is not Against.TOLERATED:
            fires = self._mixed(self.by_step[which], self.seen[which]) + self.boost[which] >= needed
            self._settle(which[fires])
            fires = self._mixed(self.by_step[which], self.seen[which]) + self.boost[which] >= needed
        if self.against is not Against.BASELINE and fires.any():
            fires[fires] = self.log_e(which[fires]) >= needed  # never raised
        return fires

    def _mixed(self, by_step: Floats, seen: Ints) -> Floats:
        """`evidence.log_e_restarted` of each row of (runs, steps), each with its own number of steps so far. A stream
        that names no step has nothing to restart at.
        """
        if self.steps == (0,):
            return by_step[:, 0]
        j = np.arange(1, by_step.shape[1] + 1)
        terms = np.where(j <= seen[:, None], by_step - np.log(j * (j + 1.0)), -np.inf)
        return np.asarray(np.logaddexp(np.logaddexp.reduce(terms, axis=1), -np.log(seen + 1.0)))

    def passes(self, which: Ints) -> Mask:
        """Non-inferior at 1/beta on all outcomes, and on those of the last step alone pointing the same way."""
        last = np.maximum(self.seen[which] - 1, 0)
        total = self.counts[which].sum(axis=1)
        here = self.counts[which, last]
        passes = self._noninferior(self.since[which, 0], total, -math.log(self.policy.beta))
        pointing = self._noninferior(self.since[which, last], here, 0.0, strictly=True)
        return np.asarray(passes & pointing & (total[:, 0] > 0), dtype=np.bool_)

    def _noninferior(self, likelihood: Floats, counts: Ints, needed: float, *, strictly: bool = False) -> Mask:
        """Whether ln(E'/2 + E''/2) is at least (or above) `needed`. E'' <= exp(n KL(e/n, rate)) saves most of it."""
        rate = self.margins.tolerated_rate
        if rate is None:
            value = evidence.log_e_promote(likelihood, self.prior)
            return np.asarray(value > needed if strictly else value >= needed, dtype=np.bool_)
        alone = self.against is Against.TOLERATED
        ratio = np.full(len(counts), -np.inf) if alone else evidence.log_e_promote(likelihood, self.prior)
        halved = 0.0 if alone else math.log(2.0)
        bound = np.logaddexp(ratio, _most(counts[:, 0], counts[:, 1], rate)) - halved
        value = np.full(len(counts), -np.inf)
        for i in np.flatnonzero(bound >= needed - 1e-9):
            own = _tolerated(int(counts[i, 0]), int(counts[i, 1]), rate)
            value[i] = own if alone else evidence.log_e_noninferior(float(ratio[i]), own)
        return np.asarray(value > needed if strictly else value >= needed, dtype=np.bool_)


def _most(n: Ints, e: Ints, rate: float) -> Floats:
    """An upper bound of ln E'': the largest likelihood ratio that any rate below the tolerated one can have."""
    share = np.minimum(e / np.maximum(n, 1), rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        bad = np.where(e > 0, e * np.log(share / rate), 0.0)
    return np.asarray(bad + (n - e) * np.log((1 - share) / (1 - rate)), dtype=np.float64)
