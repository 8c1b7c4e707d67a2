"""What a look's polls say: the likelihood of each under every odds ratio, by the law of its kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coalmine.judge import evidence
from coalmine.judge.evidence import Floats, Priors, scores
from coalmine.judge.policy import Against, Counts, Margins, MetricRules, Mix, Paired, Policy, Resource, Score
from coalmine.records import Poll

Outcomes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Learned:
    """What one poll adds: `counts` (s, 4) and `row` (s, width) to the series with the numbers `series` (s).

    `most` (width): what it would add had all failures that may be the canary's been the canary's; None where that is
    of no use (see series.weigh).
    """

    poll: Poll
    series: list[int]
    counts: Outcomes
    row: Floats
    most: Floats | None = None


def learn(
    looks: dict[str, list[Poll]], policy: Policy, *, before: dict[str, NDArray[np.int64]]
) -> dict[str, list[Learned]]:
    """The factors of all polls of one look, by metric, in one pass over all that share a law and a prior.

    `before` (J, S, 4) by metric: the counts that were known before.
    """
    asked: dict[tuple[str, Margins], list[Outcomes]] = {}
    for name, polls in looks.items():
        rules = policy.metrics[name]
        if not isinstance(rules, Score):
            asked.setdefault(_key(rules, policy.margins(name)), []).append(_asked(polls, rules).reshape(-1, 4))
    found = {
        key: iter(log_pmf(np.concatenate(parts), law=key[0], points=prior(key[1]).points))
        for key, parts in asked.items()
    }
    return {
        name: _scored(polls, before[name])
        if isinstance(rules := policy.metrics[name], Score)
        else _dealt(polls, rules, found[_key(rules, policy.margins(name))])
        for name, polls in looks.items()
    }


def _key(rules: MetricRules, margins: Margins) -> tuple[str, Margins]:
    law = "events" if isinstance(rules, Counts | Paired) else "none" if isinstance(rules, Resource) else "units"
    return law, replace(margins, tolerated_rate=None)


def is_alone(rules: MetricRules) -> bool:
    """One series, compared with the baseline only: then the law of all its evidence is known."""
    kinds = (Score, Resource, Mix)
    return rules.against is Against.BASELINE and rules.parts == ("",) and not isinstance(rules, kinds)


def _asked(polls: Sequence[Poll], rules: MetricRules) -> Outcomes:
    """What to ask the law for, (P, s, 4): each poll, of a mix also its complement, else perhaps its extreme."""
    counts = np.array([(p.n_c, p.e_c, p.n_b, p.e_b) for p in polls], dtype=np.int64)
    n_c, e_c, n_b, e_b = counts.T
    if isinstance(rules, Mix):
        return np.stack([counts, np.column_stack([n_c, n_c - e_c, n_b, n_b - e_b])], axis=1)
    if not is_alone(rules):
        return counts[:, None]
    most = e_c + e_b if isinstance(rules, Counts | Paired) else np.minimum(e_c + e_b, n_c)
    return np.stack([counts, np.column_stack([n_c, most, n_b, e_c + e_b - most])], axis=1)


def _dealt(polls: Sequence[Poll], rules: MetricRules, rows: Iterator[Floats]) -> list[Learned]:
    found = []
    for poll, counts in zip(polls, _asked(polls, rules), strict=True):
        mine = np.stack([next(rows) for _ in counts])
        place = rules.parts.index(poll.part)
        if isinstance(rules, Mix):
            found.append(Learned(poll, [2 * place, 2 * place + 1], counts, mine))
        elif is_alone(rules):
            found.append(Learned(poll, [place], counts[:1], mine[:1], most=mine[1]))
        else:
            found.append(Learned(poll, [place], counts, mine))
    return found


def _scored(polls: Sequence[Poll], before: Outcomes) -> list[Learned]:
    n_c, e_c, n_b, e_b = (int(value) for value in before[:, 0].sum(axis=0))
    guesses = (scores.guess(n_c, e_c), scores.guess(n_b, e_b))
    found = []
    for p in polls:
        row = scores.score_row((p.n_c, p.e_c, p.q_c), (p.n_b, p.e_b, p.q_b), guesses=guesses)
        found.append(Learned(p, [0], np.array([(p.n_c, p.e_c, p.n_b, p.e_b)], dtype=np.int64), row[None]))
    return found


def log_pmf(outcomes: Outcomes, *, law: str, points: Floats) -> Floats:
    """(P, 4) gives (P, G). "none": judged by its own limit and by signs, never by a ratio."""
    if law == "none":
        return np.zeros((len(outcomes), points.size))
    return (evidence.binomial_log_pmf if law == "events" else evidence.fnch_log_pmf)(outcomes, points)


def prior(margins: Margins) -> Priors:
    return evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote)
