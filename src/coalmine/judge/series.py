"""What each kind of metric makes of its polls: which series it keeps, by which law, and how they become one e-value.

A series is one vector of likelihoods. A latency metric has one for each edge, a mix two for each class (in it, and
not in it: an odds ratio above the margin and one below its inverse), all others one for each part.

Sources: that a mix passes when each of its series does: Berger 1982 (intersection-union tests); growth of a resource
by its sign alone: Dixon & Mood 1946; what all kinds share: judge.evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from coalmine.judge import evidence
from coalmine.judge.evidence import Floats, Priors, scores
from coalmine.judge.laws import Learned, log_pmf, prior
from coalmine.judge.policy import Against, Counts, Margins, MetricRules, Mix, Paired, Policy, Resource, Score

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


def beyond(rows: Floats, margins: Margins, *, rules: MetricRules) -> Floats:
    """Of rows (..., width) what `compared` looks at."""
    return rows if isinstance(rules, Score) else rows[..., prior(margins).first :]


def compared(rows: Floats, margins: Margins, *, rules: MetricRules, steps: tuple[int, ...]) -> Floats:
    """Evidence against the baseline of each series of `rows` (J, S, width or beyond), mixed over the restarts: (S,).

    A stream that names no ramp step (step 0) has nothing to restart at. Should a ramp follow it all the same, the two
    stretches are evidence on outcomes of their own, and their e-values multiply.
    """
    plain = [row for row in range(len(rows)) if steps[row] == 0]
    ramp = [row for row in range(len(rows)) if steps[row] != 0]
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
            logs = evidence.log_e_intolerable(since[:, 0], since[:, 1], rate)
            total += float(evidence.log_e_restarted(logs)) if in_ramp else float(logs[0])
    return total


def _rates(rules: Resource) -> list[float]:
    """Up to which share of "bad" each part is fine."""
    return [rules.tolerated_rate or _EVEN if part == "limit" else _EVEN for part in rules.parts]


def _resource(counts: NDArray[np.int64], rules: Resource, *, steps: tuple[int, ...]) -> float:
    """The mean of what the limit says and of a sign test on growth: alike, an arm leads in at most half the windows."""
    logs = [_own(counts[:, place], rate, steps=steps) for place, rate in enumerate(_rates(rules))]
    return evidence.log_mean(np.array(logs))


def trail(rows: Floats, learned: Learned, margins: Margins, *, rules: MetricRules, steps: tuple[int, ...]) -> Floats:
    """What `boost` asks about, as series of their own: for each poll of a look the metric's series before it, and after
    it had all failures that may be the canary's been the canary's. `rows` (J, 1, width), from before the look, give
    (J, 2n, what of it is beyond), the two in turn; none unless the metric is_alone.
    """
    rows = beyond(rows, margins, rules=rules)
    if learned.most is None:
        return rows[:, :0]
    added, extreme = (beyond(each, margins, rules=rules) for each in (learned.rows, learned.most))
    found = np.repeat(rows, 2 * len(learned.steps), axis=1)
    now = rows[:, 0].copy()
    for number, (step, row, most) in enumerate(zip(learned.steps, added, extreme, strict=True)):
        at = steps.index(step)
        found[:, 2 * number] = found[:, 2 * number + 1] = now
        found[at, 2 * number + 1] += most
        now[at] += row
    return found


def boost(
    rows: Floats, learned: Learned, number: int, margins: Margins, *,
    rules: MetricRules, steps: tuple[int, ...], before: float, line: float,
) -> float:  # fmt: skip
    """ln of what the factor of the poll with this number is raised by (see evidence.overshoot). `rows` (J, 1, beyond),
    of the trail, and the evidence `before` do not hold the poll yet; `line` is a natural log. Asked only where `most`
    gets above it.
    """
    n_c, e_c, n_b, e_b = (int(value) for value in learned.counts[number])
    events, m = isinstance(rules, Counts | Paired), e_c + e_b
    low, high = (0, m) if events else (max(0, m - n_b), min(m, n_c))
    if not (n_c and n_b) or not 0 < high - low <= _SUPPORT:
        return 0.0
    support = np.array([(n_c, k, n_b, m - k) for k in range(low, high + 1)], dtype=np.int64)
    law = log_pmf(support, law="events" if events else "units", points=prior(margins).points)
    null = law[:, -2] + (_log_choose(m) if events else 0.0)
    stack = np.repeat(rows, len(law), axis=1)
    stack[steps.index(learned.steps[number])] += beyond(law, margins, rules=rules)
    return evidence.log_boost(null, compared(stack, margins, rules=rules, steps=steps) - before, line - before)


def _log_choose(m: int) -> Floats:
    k = np.arange(m + 1)
    return np.asarray(gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1), dtype=np.float64)


# ---- evidence to promote, and bands ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NonInferior:
    """ln of the evidence that a metric is no worse: from the ratio, from the tolerated rate, and both together. It is
    exactly 0 without any outcome of the canary.
    """

    promote: float
    tolerated: float | None
    whole: float


@dataclass(frozen=True, slots=True)
class Stretches:
    """Sums over stretches of a rollout, such as all of its steps, or the last: rows (K, s, width) of the series
    asked_of, counts (K, S, 4).
    """

    rows: Floats
    counts: NDArray[np.int64]


def asked_of(rows: Floats, rules: MetricRules) -> Floats:
    """The series (J, s, width) that must hold before a promotion: of a mix all classes, else the main part."""
    return rows if isinstance(rules, Mix) else rows[:, :1]


def noninferior(stretches: Mapping[str, Stretches], policy: Policy) -> dict[str, list[NonInferior]]:
    """Of each metric, for each of its stretches. Those that share a prior are weighed in one pass."""
    groups: dict[Priors, list[str]] = {}
    for name in stretches:
        if has_odds(policy.metrics[name]):
            groups.setdefault(prior(policy.margins(name)), []).append(name)
    promote: dict[str, Floats] = {}
    for shared, names in groups.items():
        asked = [stretches[name].rows for name in names]
        every = evidence.log_e_promote(np.concatenate(asked, axis=1), shared)
        begin = 0
        for name, rows in zip(names, asked, strict=True):
            # Each class of a mix must lie inside the margin on both sides.
            promote[name] = every[:, begin : begin + rows.shape[1]].min(axis=1)
            begin += rows.shape[1]
    for name, mine in stretches.items():
        rules = policy.metrics[name]
        if isinstance(rules, Score):
            promote[name] = scores.log_e_not_worse(mine.rows[:, 0], rules.margin_promote)
    return {
        name: _noninferior(mine.counts, promote.get(name, np.zeros(len(mine.counts))), policy.metrics[name])
        for name, mine in stretches.items()
    }


def _noninferior(counts: NDArray[np.int64], promote: Floats, rules: MetricRules) -> list[NonInferior]:
    """Of the stretches with these counts (K, S, 4) and evidence on the ratio (K,)."""
    ratios = np.where(counts[..., 0].any(axis=1), promote, 0.0).tolist()
    if isinstance(rules, Resource):
        owns = np.min([_tolerated(counts[:, place], rate) for place, rate in enumerate(_rates(rules))], axis=0)
    elif rules.tolerated_rate is None:
        return [NonInferior(ratio, None, ratio) for ratio in ratios]
    else:
        owns = _tolerated(counts[:, 0], rules.tolerated_rate)
    alone = isinstance(rules, Resource) or rules.against is Against.TOLERATED
    return [
        NonInferior(ratio, own, own if alone else evidence.log_e_noninferior(ratio, own))
        for ratio, own in zip(ratios, owns.tolist(), strict=True)
    ]


def _tolerated(counts: NDArray[np.int64], rate: float) -> Floats:
    """Evidence of each of a part's (K, 4) outcomes that the canary's rate is below `rate`."""
    n, e = counts[:, 0], counts[:, 1]
    return np.where(n > 0, evidence.log_e_tolerated(n, e, rate), 0.0)


def narrowed(kept: NDArray[np.bool_], row: Floats, margins: Margins, *, rules: MetricRules) -> NDArray[np.bool_]:
    """The running intersection of the odds ratios' bands, (S, grid), from what all steps have taught (S, width)."""
    if not has_odds(rules):
        return kept
    return kept & evidence.confidence_mask(row, prior(margins), margins.alpha)


def has_odds(rules: MetricRules) -> bool:
    """Whether the arms are compared by an odds ratio."""
    return not isinstance(rules, Score | Resource)


def has_rates(rules: MetricRules) -> bool:
    """Whether "bad" is a share of the units, so that each arm has a rate."""
    return not isinstance(rules, Counts | Paired | Score)


def narrowed_rates(kept: NDArray[np.bool_], totals: NDArray[np.int64], alpha: float) -> NDArray[np.bool_]:
    """The running intersection of the bands of both rates, (M, 2, evidence.RATES), by `totals` (M, 4)."""
    masks = evidence.rate_masks(totals[:, ::2].ravel(), totals[:, 1::2].ravel(), alpha)
    return np.asarray(kept & masks.reshape(kept.shape), dtype=np.bool_)
