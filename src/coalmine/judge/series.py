"""What each kind of metric makes of its polls: which series it keeps, by which law, and how they become one e-value.

A series is one vector of likelihoods. A latency metric has one for each edge, a mix two for each class (in it, and
not in it: an odds ratio above the margin and one below its inverse), all others one for each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from coalmine.judge import evidence
from coalmine.judge.evidence import Floats, Priors, scores
from coalmine.judge.policy import Against, Counts, Margins, MetricRules, Mix, Paired, Policy, Resource, Score
from coalmine.records import Poll

_EVEN = 0.5  # of two arms that behave alike either grows more in at most half of the windows
_SUPPORT = 256  # beyond this many possible outcomes one failure moves the evidence too little to overshoot


@dataclass(frozen=True, slots=True)
class Learned:
    """What one poll adds: `counts` (s, 4) and `row` (s, width) to the series with the numbers `series` (s)."""

    poll: Poll
    series: list[int]
    counts: NDArray[np.int64]
    row: Floats


def names(rules: MetricRules) -> tuple[str, ...]:
    """The part of each series, the main one first."""
    return tuple(part for part in rules.parts for _ in range(2)) if isinstance(rules, Mix) else rules.parts


def width(rules: MetricRules) -> int:
    return scores.WIDTH if isinstance(rules, Score) else evidence.POINTS


def own_rate(rules: MetricRules) -> float | None:
    """The tolerated rate of the metric's main part, where it has one."""
    return None if isinstance(rules, Resource) and rules.limit is None else rules.tolerated_rate


def learn(polls: Sequence[Poll], policy: Policy, *, name: str, counts: NDArray[np.int64]) -> list[Learned]:
    """Each poll's factor; all of them in one pass. `counts` (J, S, 4): what was known before."""
    rules = policy.metrics[name]
    outcomes = np.array([(p.n_c, p.e_c, p.n_b, p.e_b) for p in polls], dtype=np.int64)
    if isinstance(rules, Score):
        guesses = _guesses(counts)
        rows = [_score_row(poll, guesses) for poll in polls]
        return [Learned(p, [0], o[None], r[None]) for p, o, r in zip(polls, outcomes, rows, strict=True)]
    places = [_places(rules, poll.part) for poll in polls]
    if isinstance(rules, Mix):
        rest = np.column_stack([outcomes[:, 0], outcomes[:, 0] - outcomes[:, 1],
                                outcomes[:, 2], outcomes[:, 2] - outcomes[:, 3]])  # fmt: skip
        outcomes = np.stack([outcomes, rest], axis=1)
    else:
        outcomes = outcomes[:, None]
    flat = _log_pmf(outcomes.reshape(-1, 4), rules, _prior(policy.margins(name)).points)
    rows_by_poll = flat.reshape(len(polls), -1, flat.shape[-1])
    return [Learned(p, s, o, r) for p, s, o, r in zip(polls, places, outcomes, rows_by_poll, strict=True)]


def _places(rules: MetricRules, part: str) -> list[int]:
    place = rules.parts.index(part)
    return [2 * place, 2 * place + 1] if isinstance(rules, Mix) else [place]


def _log_pmf(outcomes: NDArray[np.int64], rules: MetricRules, points: Floats) -> Floats:
    if isinstance(rules, Counts | Paired):
        return evidence.binomial_log_pmf(outcomes, points)
    if isinstance(rules, Resource):
        return np.zeros((len(outcomes), points.size))  # judged by its own limit and by signs, never by a ratio
    return evidence.fnch_log_pmf(outcomes, points)


def _guesses(counts: NDArray[np.int64]) -> tuple[float, float]:
    n_c, e_c, n_b, e_b = (int(value) for value in counts[:, 0].sum(axis=0))
    return scores.guess(n_c, e_c), scores.guess(n_b, e_b)


def _score_row(poll: Poll, guesses: tuple[float, float]) -> Floats:
    canary, baseline = (poll.n_c, poll.e_c, poll.q_c), (poll.n_b, poll.e_b, poll.q_b)
    return scores.score_row(canary, baseline, guesses=guesses)


def _prior(margins: Margins) -> Priors:
    return evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote)


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
    return evidence.log_e_rollback(rows, _prior(margins))


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


def _resource(counts: NDArray[np.int64], rules: Resource, *, steps: tuple[int, ...]) -> float:
    """The mean of what the limit says and of a sign test on growth: alike, an arm leads in at most half the windows."""
    rates = {"limit": rules.tolerated_rate or _EVEN, "growth": _EVEN}
    logs = [_own(counts[:, place], rates[part], steps=steps) for place, part in enumerate(rules.parts)]
    return evidence.log_mean(np.array(logs))


def boost(
    rows: Floats, one: Learned, margins: Margins, *, rules: MetricRules, steps: tuple[int, ...], step: int, line: float
) -> float:
    """ln of what the poll's factor may be raised by (see evidence.overshoot); 0 where the whole law is not at hand:
    for several series at once, and where the smaller of two e-values counts. `line` is the natural log of the line.
    """
    n_c, e_c, n_b, e_b = (int(value) for value in one.counts[0])
    exact = isinstance(rules, Counts | Paired)
    m = e_c + e_b
    low, high = (0, m) if exact else (max(0, m - n_b), min(m, n_c))
    alone = rules.against is Against.BASELINE and len(one.counts) == rows.shape[1] == 1
    if not alone or isinstance(rules, Score) or not (n_c and n_b) or not 0 < high - low <= _SUPPORT:
        return 0.0
    points = _prior(margins).points

    def after(outcomes: list[int]) -> tuple[Floats, Floats]:
        """Their log likelihoods (K, width), and the evidence before and after each of them (1 + K)."""
        law = _log_pmf(np.array([(n_c, k, n_b, m - k) for k in outcomes], dtype=np.int64), rules, points)
        stack = np.repeat(rows, 1 + len(outcomes), axis=1)
        stack[step, 1:] += law
        return law, compared(stack, margins, rules=rules, steps=steps)

    _, (before, most) = after([high])
    if most <= line:
        return 0.0
    support = list(range(low, high + 1))
    law, evidences = after(support)
    null = law[:, -2] + (_log_choose(m) if exact else 0.0)
    return evidence.log_boost(null, evidences[1:] - before, line - before)


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


def log_e_noninferior(row: Floats, counts: NDArray[np.int64], margins: Margins, *, rules: MetricRules) -> NonInferior:
    """From series (S, width) and counts (S, 4): those of all steps, or of one."""
    if isinstance(rules, Resource):
        return _resource_holds(counts, rules)
    if isinstance(rules, Score):
        found = float(scores.log_e_not_worse(row[0], rules.margin_promote))
        return NonInferior(found, None, found)
    every = evidence.log_e_promote(row if isinstance(rules, Mix) else row[:1], _prior(margins))
    promote = float(every.min())  # each class must lie inside the margin on both sides
    if margins.tolerated_rate is None:
        return NonInferior(promote, None, promote)
    own = evidence.log_e_tolerated(int(counts[0, 0]), int(counts[0, 1]), margins.tolerated_rate)
    whole = own if rules.against is Against.TOLERATED else evidence.log_e_noninferior(promote, own)
    return NonInferior(promote, own, whole)


def _resource_holds(counts: NDArray[np.int64], rules: Resource) -> NonInferior:
    rates = {"limit": rules.tolerated_rate or _EVEN, "growth": _EVEN}
    found = min(
        evidence.log_e_tolerated(int(counts[place, 0]), int(counts[place, 1]), rates[part])
        for place, part in enumerate(rules.parts)
    )
    return NonInferior(0.0, found, found)


def narrowed(kept: NDArray[np.bool_], rows: Floats, margins: Margins, *, rules: MetricRules) -> NDArray[np.bool_]:
    """The running intersection of the odds ratios' bands, (S, grid)."""
    if isinstance(rules, Score | Resource):
        return kept
    return kept & evidence.confidence_mask(rows.sum(axis=0), _prior(margins), margins.alpha)


def narrowed_rates(
    kept: NDArray[np.bool_], counts: NDArray[np.int64], margins: Margins, *, rules: MetricRules
) -> NDArray[np.bool_]:
    """The running intersection of the bands of the main part's two rates, (2, evidence.RATES)."""
    if isinstance(rules, Counts | Paired | Score):
        return kept
    n_c, e_c, n_b, e_b = (int(value) for value in counts[:, 0].sum(axis=0))
    now = [evidence.rate_mask(n_c, e_c, margins.alpha), evidence.rate_mask(n_b, e_b, margins.alpha)]
    return np.asarray(kept & np.stack(now), dtype=np.bool_)
