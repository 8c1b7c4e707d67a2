"""What each kind of metric makes of its polls: which series it keeps, by which law, and how they become one e-value.

A series is one vector of likelihoods. A latency metric has one for each edge, a mix two for each class (in it, and
not in it: an odds ratio above the margin and one below its inverse), all others one for each part.

Sources: that a mix passes when each of its series does: Berger 1982 (intersection-union tests); growth of a resource
by its sign alone: Dixon & Mood 1946; what all kinds share: judge.evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from coalmine.judge import evidence
from coalmine.judge.evidence import Floats, scores
from coalmine.judge.laws import Learned, log_pmf, prior
from coalmine.judge.policy import Against, Counts, Margins, MetricRules, Mix, Paired, Resource, Score

_EVEN = 0.5  # of two arms that behave alike either grows more in at most half of the windows
_SUPPORT = 256  # beyond this many possible outcomes one failure moves the evidence too little to overshoot


def likeness(rules: MetricRules, steps: int) -> tuple[object, ...]:
    """Metrics that have this in common can be weighed in one pass: `compared` and `narrowed` treat their rows alike."""
    if isinstance(rules, Score):
        return ("score", steps, rules.margin_rollback)
    return (isinstance(rules, Resource), steps, rules.odds_ratio_rollback, rules.odds_ratio_promote, rules.faults)


def count(rules: MetricRules) -> int:
    """How many series a metric has; the main part's comes first."""
    return len(rules.parts) * (2 if isinstance(rules, Mix) else 1)


def width(rules: MetricRules) -> int:
    return scores.WIDTH if isinstance(rules, Score) else evidence.POINTS


def own_rate(rules: MetricRules) -> float | None:
    """The tolerated rate of the metric's main part, where it has one."""
    return None if isinstance(rules, Resource) and rules.limit is None else rules.tolerated_rate


# ---- evidence to roll back ---------------------------------------------------------------------------------------


def log_e_rollback(
    against: Floats, counts: NDArray[np.int64], margins: Margins, *, rules: MetricRules, steps: tuple[int, ...]
) -> float:
    """The metric's evidence, from that of its series against the baseline (S,). The smaller of two e-values is one
    for "either null holds": against `both`, a shared incident moves neither.
    """
    if isinstance(rules, Resource):
        return _resource(counts, rules, steps=steps)
    found = []
    if rules.against is not Against.TOLERATED:
        found.append(evidence.log_mean(against))
    if rules.against is not Against.BASELINE and margins.tolerated_rate is not None:
        found.append(_own(counts[:, 0], margins.tolerated_rate, steps=steps))
    return min(found)


def compared(rows: Floats, margins: Margins, *, rules: MetricRules, steps: tuple[int, ...]) -> Floats:
    """Evidence against the baseline of each series of `rows` (J, S, width), mixed over the restarts: (S,).

    A stream that names no ramp step (step 0) has nothing to restart at. Should a ramp follow it all the same, the two
    stretches are evidence on outcomes of their own, and their e-values multiply.
    """
    plain = [row for row in range(len(rows)) if steps[row] == 0]
    ramp = [row for row in range(len(rows)) if steps[row] != 0]
    if not isinstance(rules, Score):
        rows = rows[..., prior(margins).first :]  # all that log_e_rollback looks at
    found = np.zeros(rows.shape[1])
    if plain:
        found = found + _log_e(rows[plain].sum(axis=0), margins, rules=rules)
    if ramp:
        since = evidence.since_step(rows[ramp])
        found = found + evidence.log_e_restarted(_log_e(since, margins, rules=rules))
    return np.asarray(found, dtype=np.float64)


def _log_e(rows: Floats, margins: Margins, *, rules: MetricRules) -> Floats:
    if isinstance(rules, Score):
        return scores.log_e_worse(rows, rules.margin_rollback)
    return evidence.log_e_rollback(rows, prior(margins))


def _own(counts: NDArray[np.int64], rate: float, *, steps: tuple[int, ...]) -> float:
    """Evidence of a part's (J, 4) canary outcomes that their rate is above `rate`, mixed over the restarts."""
    total = 0.0
    for in_ramp in (False, True):
        mine = counts[[row for row in range(len(counts)) if (steps[row] != 0) is in_ramp], :2]
        if mine.size:
            since = np.cumsum(mine[::-1], axis=0)[::-1] if in_ramp else mine.sum(axis=0)[None]
            logs = np.array([evidence.log_e_intolerable(int(n), int(e), rate) for n, e in since])
            total += float(evidence.log_e_restarted(logs)) if in_ramp else float(logs[0])
    return total


def _rates(rules: Resource) -> list[float]:
    """Up to which share of "bad" each part is fine."""
    return [rules.tolerated_rate or _EVEN if part == "limit" else _EVEN for part in rules.parts]


def _resource(counts: NDArray[np.int64], rules: Resource, *, steps: tuple[int, ...]) -> float:
    """The mean of what the limit says and of a sign test on growth: alike, an arm leads in at most half the windows."""
    logs = [_own(counts[:, place], rate, steps=steps) for place, rate in enumerate(_rates(rules))]
    return evidence.log_mean(np.array(logs))


def boost(
    rows: Floats,
    learned: Learned,
    number: int,
    margins: Margins,
    *,
    rules: MetricRules,
    steps: tuple[int, ...],
    before: float,
    line: float,
) -> float:
    """ln of what the factor of the poll with this number is raised by (see evidence.overshoot); 0 unless the metric
    is_alone. `rows` (J, 1, width) and the evidence `before` do not hold the poll yet; `line` is a natural log.
    """
    # No outcome raises the evidence by more than 1 over its null probability: mostly not even the rarest gets there.
    if learned.most is None or before - learned.most[number, -2] <= line:
        return 0.0
    step = steps.index(learned.steps[number])

    def after(law: Floats) -> Floats:
        stack = np.repeat(rows, len(law), axis=1)
        stack[step] += law
        return compared(stack, margins, rules=rules, steps=steps)

    n_c, e_c, n_b, e_b = (int(value) for value in learned.counts[number])
    events, m = isinstance(rules, Counts | Paired), e_c + e_b
    low, high = (0, m) if events else (max(0, m - n_b), min(m, n_c))
    if not (n_c and n_b) or not 0 < high - low <= _SUPPORT or after(learned.most[number : number + 1])[0] <= line:
        return 0.0
    support = np.array([(n_c, k, n_b, m - k) for k in range(low, high + 1)], dtype=np.int64)
    law = log_pmf(support, law="events" if events else "units", points=prior(margins).points)
    null = law[:, -2] + (_log_choose(m) if events else 0.0)
    return evidence.log_boost(null, after(law) - before, line - before)


def _log_choose(m: int) -> Floats:
    k = np.arange(m + 1)
    return np.asarray(gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1), dtype=np.float64)


# ---- evidence to promote, and bands ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NonInferior:
    """ln of the evidence that a metric is no worse: from the ratio, from the tolerated rate, and both together."""

    promote: float
    tolerated: float | None
    whole: float


def asked_of(rows: Floats, rules: MetricRules) -> Floats:
    """The series (J, s, width) that must hold before a promotion: of a mix all classes, else the main part."""
    return rows if isinstance(rules, Mix) else rows[:, :1]


def log_e_noninferior(row: Floats, counts: NDArray[np.int64], margins: Margins, *, rules: MetricRules) -> NonInferior:
    """From the series asked_of (s, width) and all counts (S, 4): those of all steps, or of one."""
    if isinstance(rules, Resource):
        return _resource_holds(counts, rules)
    if isinstance(rules, Score):
        found = float(scores.log_e_not_worse(row[0], rules.margin_promote))
        return NonInferior(found, None, found)
    every = evidence.log_e_promote(row, prior(margins))
    promote = float(every.min())  # each class must lie inside the margin on both sides
    if margins.tolerated_rate is None:
        return NonInferior(promote, None, promote)
    own = evidence.log_e_tolerated(int(counts[0, 0]), int(counts[0, 1]), margins.tolerated_rate)
    whole = own if rules.against is Against.TOLERATED else evidence.log_e_noninferior(promote, own)
    return NonInferior(promote, own, whole)


def _resource_holds(counts: NDArray[np.int64], rules: Resource) -> NonInferior:
    found = min(
        evidence.log_e_tolerated(int(counts[place, 0]), int(counts[place, 1]), rate)
        for place, rate in enumerate(_rates(rules))
    )
    return NonInferior(0.0, found, found)


def narrowed(kept: NDArray[np.bool_], rows: Floats, margins: Margins, *, rules: MetricRules) -> NDArray[np.bool_]:
    """The running intersection of the odds ratios' bands, (S, grid)."""
    if isinstance(rules, Score | Resource):
        return kept
    return kept & evidence.confidence_mask(rows.sum(axis=0), prior(margins), margins.alpha)


def has_rates(rules: MetricRules) -> bool:
    """Whether "bad" is a share of the units, so that each arm has a rate."""
    return not isinstance(rules, Counts | Paired | Score)


def narrowed_rates(kept: NDArray[np.bool_], totals: NDArray[np.int64], alpha: float) -> NDArray[np.bool_]:
    """The running intersection of the bands of both rates, (M, 2, evidence.RATES), by `totals` (M, 4)."""
    masks = evidence.rate_masks(totals[:, ::2].ravel(), totals[:, 1::2].ravel(), alpha)
    return np.asarray(kept & masks.reshape(kept.shape), dtype=np.bool_)
