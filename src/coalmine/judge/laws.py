"""What a look's polls say: the likelihood of each under every odds ratio, by the law of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from coalmine.judge import evidence
from coalmine.judge.evidence import Floats, Priors, scores
from coalmine.judge.policy import Against, Counts, Margins, MetricRules, Mix, Paired, Policy, Resource, Score
from coalmine.records import Poll

Outcomes = NDArray[np.int64]
_Counts = tuple[int, int, int, int]
_Pair = tuple[float, float]  # the two odds ratios of a metric's margins: they fix the last two points


@dataclass(frozen=True, slots=True)
class Learned:
    """What one metric's polls of a look add, in their order: `counts` (n, 4) and `rows` (n, width) to the series with
    the numbers `series` (n), in the steps (weights) `steps` (n).

    `most` (n, width): what each would add had all failures that may be the canary's been the canary's; None where
    that is of no use (see series.boost).
    """

    t: float
    steps: list[int]
    series: list[int]
    counts: Outcomes
    rows: Floats
    most: Floats | None = None


def learn(looks: dict[str, list[Poll]], policy: Policy, *, before: dict[str, Outcomes]) -> dict[str, Learned]:
    """The factors of all polls of one look, by metric, in one pass over all that share a law: at the points of every
    metric's prior, of which each then takes its own.

    `before` (J, S, 4) by metric: the counts that were known before.
    """
    asked: dict[str, list[_Counts]] = {}
    pairs: dict[str, dict[_Pair, None]] = {}
    places: dict[str, slice] = {}
    for name, polls in looks.items():
        rules = policy.metrics[name]
        if not isinstance(rules, Score):
            mine = asked.setdefault(_law(rules), [])
            pairs.setdefault(_law(rules), {})[_pair(rules)] = None
            begin = len(mine)
            mine += _asked(polls, rules)
            places[name] = slice(begin, len(mine))
    counts = {law: np.array(mine, dtype=np.int64) for law, mine in asked.items()}
    rows = {law: log_pmf(mine, law=law, points=_points(tuple(pairs[law]))) for law, mine in counts.items()}
    learned = {}
    for name, polls in looks.items():
        rules = policy.metrics[name]
        if isinstance(rules, Score):
            learned[name] = _scored(polls, before[name])
        else:
            law, place = _law(rules), places[name]
            own = _own_points(rows[law][place], list(pairs[law]).index(_pair(rules)))
            learned[name] = _dealt(polls, rules, counts[law][place], own)
    return learned


def _law(rules: MetricRules) -> str:
    return "events" if isinstance(rules, Counts | Paired) else "none" if isinstance(rules, Resource) else "units"


def _pair(rules: MetricRules) -> _Pair:
    return rules.odds_ratio_rollback, rules.odds_ratio_promote


@lru_cache(maxsize=256)
def _points(pairs: tuple[_Pair, ...]) -> Floats:
    """The grid, which all priors share, then the two points of each pair's own."""
    return np.concatenate([evidence.GRID, *(evidence.priors(*pair).points[-2:] for pair in pairs)])


def _own_points(rows: Floats, number: int) -> Floats:
    """Of rows at the _points of several pairs those of the pair with this number: (n, POINTS)."""
    if rows.shape[1] == evidence.POINTS:
        return rows
    begin = evidence.GRID.size + 2 * number
    return np.concatenate([rows[:, : evidence.GRID.size], rows[:, begin : begin + 2]], axis=1)


def is_alone(rules: MetricRules) -> bool:
    """One series, compared with the baseline only: then the law of all its evidence is known."""
    kinds = (Score, Resource, Mix)
    return rules.against is Against.BASELINE and rules.parts == ("",) and not isinstance(rules, kinds)


def _asked(polls: Sequence[Poll], rules: MetricRules) -> list[_Counts]:
    """What to ask the law for: each poll, of a mix also its complement, of a metric that is_alone then each extreme."""
    counts = [(poll.n_c, poll.e_c, poll.n_b, poll.e_b) for poll in polls]
    if isinstance(rules, Mix):
        return [
            each for n_c, e_c, n_b, e_b in counts for each in ((n_c, e_c, n_b, e_b), (n_c, n_c - e_c, n_b, n_b - e_b))
        ]
    if not is_alone(rules):
        return counts
    most = [e_c + e_b if isinstance(rules, Counts | Paired) else min(e_c + e_b, n_c) for n_c, e_c, _, e_b in counts]
    extremes = [(n_c, k, n_b, e_c + e_b - k) for (n_c, e_c, n_b, e_b), k in zip(counts, most, strict=True)]
    return counts + extremes


def _dealt(polls: Sequence[Poll], rules: MetricRules, counts: Outcomes, rows: Floats) -> Learned:
    steps, n = [poll.step for poll in polls], len(polls)
    if is_alone(rules):
        return Learned(polls[0].t, steps, [0] * n, counts[:n], rows[:n], most=rows[n:])
    places = [rules.parts.index(poll.part) for poll in polls]
    if isinstance(rules, Mix):
        steps = [step for step in steps for _ in range(2)]
        places = [2 * place + side for place in places for side in range(2)]
    return Learned(polls[0].t, steps, places, counts, rows)


def _scored(polls: Sequence[Poll], before: Outcomes) -> Learned:
    n_c, e_c, n_b, e_b = (int(value) for value in before[:, 0].sum(axis=0))
    guesses = (scores.guess(n_c, e_c), scores.guess(n_b, e_b))
    rows = [scores.score_row((p.n_c, p.e_c, p.q_c), (p.n_b, p.e_b, p.q_b), guesses=guesses) for p in polls]
    counts = np.array([(p.n_c, p.e_c, p.n_b, p.e_b) for p in polls], dtype=np.int64)
    return Learned(polls[0].t, [p.step for p in polls], [0] * len(polls), counts, np.stack(rows))


def log_pmf(outcomes: Outcomes, *, law: str, points: Floats) -> Floats:
    """(P, 4) gives (P, G). "none": judged by its own limit and by signs, never by a ratio."""
    if law == "none":
        return np.zeros((len(outcomes), points.size))
    return (evidence.binomial_log_pmf if law == "events" else evidence.fnch_log_pmf)(outcomes, points)


def prior(margins: Margins) -> Priors:
    return evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote, margins.faults)
