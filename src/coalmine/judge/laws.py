"""What a look's polls say: the likelihood of each under every odds ratio, by the law of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coalmine.judge import evidence
from coalmine.judge.evidence import Floats, Priors, scores
from coalmine.judge.policy import Against, Counts, Margins, MetricRules, Mix, Paired, Policy, Resource, Score
from coalmine.records import Poll

Outcomes = NDArray[np.int64]
_Counts = tuple[int, int, int, int]
_Key = tuple[str, float, float]  # a law, and the two odds ratios that fix the points


@dataclass(frozen=True, slots=True)
class Learned:
    """What one poll adds: `counts` (s of 4) and `row` (s, width) to the series with the numbers `series` (s).

    `most` (width): what it would add had all failures that may be the canary's been the canary's; None where that is
    of no use (see series.weigh).
    """

    poll: Poll
    series: slice
    counts: list[_Counts]
    row: Floats
    most: Floats | None = None


def learn(
    looks: dict[str, list[Poll]], policy: Policy, *, before: dict[str, NDArray[np.int64]]
) -> dict[str, list[Learned]]:
    """The factors of all polls of one look, by metric, in one pass over all that share a law and a prior.

    `before` (J, S, 4) by metric: the counts that were known before.
    """
    asked: dict[_Key, list[_Counts]] = {}
    dealt: dict[str, list[list[_Counts]]] = {}
    for name, polls in looks.items():
        rules = policy.metrics[name]
        if not isinstance(rules, Score):
            dealt[name] = [_asked(poll, rules) for poll in polls]
            mine = asked.setdefault(_key(rules), [])
            mine.extend(counts for each in dealt[name] for counts in each)
    found = {
        key: log_pmf(np.array(counts, dtype=np.int64), law=key[0], points=evidence.priors(*key[1:]).points)
        for key, counts in asked.items()
    }
    learned, used = {}, dict.fromkeys(asked, 0)
    for name, polls in looks.items():
        rules = policy.metrics[name]
        if isinstance(rules, Score):
            learned[name] = _scored(polls, before[name])
            continue
        learned[name] = []
        for poll, counts in zip(polls, dealt[name], strict=True):
            key = _key(rules)
            rows = found[key][used[key] : used[key] + len(counts)]
            learned[name].append(_dealt(poll, rules, counts, rows))
            used[key] += len(counts)
    return learned


def _key(rules: MetricRules) -> _Key:
    law = "events" if isinstance(rules, Counts | Paired) else "none" if isinstance(rules, Resource) else "units"
    return law, rules.odds_ratio_rollback, rules.odds_ratio_promote


def is_alone(rules: MetricRules) -> bool:
    """One series, compared with the baseline only: then the law of all its evidence is known."""
    kinds = (Score, Resource, Mix)
    return rules.against is Against.BASELINE and rules.parts == ("",) and not isinstance(rules, kinds)


def _asked(poll: Poll, rules: MetricRules) -> list[_Counts]:
    """What to ask the law for: the poll, of a mix also its complement, of a metric that is_alone its extreme."""
    n_c, e_c, n_b, e_b = counts = (poll.n_c, poll.e_c, poll.n_b, poll.e_b)
    if isinstance(rules, Mix):
        return [counts, (n_c, n_c - e_c, n_b, n_b - e_b)]
    if not is_alone(rules):
        return [counts]
    most = e_c + e_b if isinstance(rules, Counts | Paired) else min(e_c + e_b, n_c)
    return [counts, (n_c, most, n_b, e_c + e_b - most)]


def _dealt(poll: Poll, rules: MetricRules, asked: list[_Counts], rows: Floats) -> Learned:
    if is_alone(rules):
        return Learned(poll, slice(0, 1), asked[:1], rows[:1], most=rows[1])
    place = rules.parts.index(poll.part) * len(asked)
    return Learned(poll, slice(place, place + len(asked)), asked, rows)


def _scored(polls: Sequence[Poll], before: Outcomes) -> list[Learned]:
    n_c, e_c, n_b, e_b = (int(value) for value in before[:, 0].sum(axis=0))
    guesses = (scores.guess(n_c, e_c), scores.guess(n_b, e_b))
    found = []
    for p in polls:
        row = scores.score_row((p.n_c, p.e_c, p.q_c), (p.n_b, p.e_b, p.q_b), guesses=guesses)
        found.append(Learned(p, slice(0, 1), [(p.n_c, p.e_c, p.n_b, p.e_b)], row[None]))
    return found


def log_pmf(outcomes: Outcomes, *, law: str, points: Floats) -> Floats:
    """(P, 4) gives (P, G). "none": judged by its own limit and by signs, never by a ratio."""
    if law == "none":
        return np.zeros((len(outcomes), points.size))
    return (evidence.binomial_log_pmf if law == "events" else evidence.fnch_log_pmf)(outcomes, points)


def prior(margins: Margins) -> Priors:
    return evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote, margins.faults)
