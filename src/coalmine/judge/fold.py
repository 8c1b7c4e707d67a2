"""The state of one analysis: a pure fold over its polls. The same polls in the same order give the same bits.

A poll's step is the weight at which its units were routed. Late labels therefore land in the row of the step that
they belong to, and each (poll of arrival, step) is a factor of its own: a stratum with a null law of its own, as in
Cochran 1954 and Mantel & Haenszel 1959. All polls of one time are one look: the
evidence is looked at when all of them are in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from coalmine.judge import evidence, series
from coalmine.judge.evidence import Floats
from coalmine.judge.laws import Learned, learn
from coalmine.judge.policy import Policy
from coalmine.records import Poll

BAKED = -1  # the step of outcomes that came after the promotion, in the bake time
Counts = tuple[int, int, int, int]
_Number = TypeVar("_Number", np.float64, np.int64)


@dataclass(frozen=True, slots=True)
class MetricState:
    """What one metric has shown, by step (J) and series (S, see judge.series; the metric's main part is the first).

    `rows` is (J, S, width of a series), `counts` (J, S, 4).
    """

    rows: Floats
    counts: NDArray[np.int64]
    kept: NDArray[np.bool_]  # (S, grid): running intersections of the odds ratios' confidence sequences
    kept_rates: NDArray[np.bool_]  # (2, evidence.RATES): of the main part's two rates, canary and baseline
    against: Floats  # (S,): each series' own evidence against the baseline, mixed over the restarts
    log_e: float = 0.0  # the metric's evidence to roll back
    log_boost: float = 0.0  # what is not lost by overshooting the line: it counts on top of log_e
    log_e_bake: float = 0.0
    polls: int = 0
    t: float = 0.0
    baked: tuple[int, int] = (0, 0)

    @property
    def totals(self) -> Counts:
        """Of the main part."""
        n_c, e_c, n_b, e_b = self.counts[:, 0].sum(axis=0).tolist()
        return n_c, e_c, n_b, e_b


@dataclass(frozen=True, slots=True)
class State:
    """All metrics of one analysis. `latched` is the time at which the evidence first called for a rollback."""

    steps: tuple[int, ...] = ()
    metrics: dict[str, MetricState] = field(default_factory=dict)
    started: float | None = None
    t: float = 0.0
    latched: float | None = None
    latched_in_bake: bool = False


def fresh_metric(name: str, policy: Policy) -> MetricState:
    rules = policy.metrics[name]
    count = series.count(rules)
    return MetricState(
        rows=np.zeros((0, count, series.width(rules))),
        counts=np.zeros((0, count, 4), dtype=np.int64),
        kept=np.ones((count, evidence.GRID.size), dtype=np.bool_),
        kept_rates=np.ones((2, evidence.RATES.size), dtype=np.bool_),
        against=np.zeros(count),
    )


def fold(state: State, poll: Poll, policy: Policy) -> State:
    """One more poll that is a look of its own."""
    return _look(state, [poll], policy)


def fold_all(polls: Iterable[Poll], policy: Policy, state: State | None = None) -> State:
    """The state after `polls`, from `state` or from nothing; polls of one time are one look."""
    state = State() if state is None else state
    for _, look in groupby(polls, key=lambda poll: poll.t):
        state = _look(state, list(look), policy)
    return state


def _look(state: State, polls: Sequence[Poll], policy: Policy) -> State:
    """A metric or part that the policy does not know adds nothing, nor does what comes after a rollback was called
    for: the verdict keeps the numbers that it was reached with.
    """
    if state.latched is not None:
        return state
    known = [p for p in polls if p.metric in policy.metrics and p.part in policy.metrics[p.metric].parts]
    metrics = dict(state.metrics)
    for poll in known:
        metric = metrics.get(poll.metric) or fresh_metric(poll.metric, policy)
        metrics[poll.metric] = _add_baked(metric, poll, policy) if poll.step == BAKED else metric
    state = replace(state, metrics=metrics, t=max([state.t, *(poll.t for poll in known)]))
    routed = [poll for poll in known if poll.step != BAKED]
    if routed:
        state = _add_all(_step_on(state, routed), routed, policy)
    return _latch(state, policy)


def _add_all(state: State, polls: Sequence[Poll], policy: Policy) -> State:
    looks: dict[str, list[Poll]] = {}
    for poll in polls:
        looks.setdefault(poll.metric, []).append(poll)
    learned = learn(looks, policy, before={name: state.metrics[name].counts for name in looks})
    added = {name: _add(name, state, mine, policy) for name, mine in learned.items()}
    return replace(state, metrics={**state.metrics, **_weighed(state, added, policy)})


def _step_on(state: State, polls: Sequence[Poll]) -> State:
    new = [step for step in dict.fromkeys(poll.step for poll in polls) if step not in state.steps]
    started = polls[0].t if state.started is None else state.started
    return replace(state, steps=(*state.steps, *new), started=started)


@dataclass(frozen=True, slots=True)
class _Added:
    """A metric's rows and counts with a look's outcomes, and what series.boost asks about."""

    learned: Learned
    rows: Floats
    counts: NDArray[np.int64]
    trail: Floats


# Each series' evidence against the baseline; that of each series of the trail; and the bands.
_Found = tuple[Floats, Floats, NDArray[np.bool_]]


def _add(name: str, state: State, learned: Learned, policy: Policy) -> _Added:
    metric, at = state.metrics[name], [state.steps.index(step) for step in learned.steps]
    rows, counts = _grown(metric.rows, max(at) + 1), _grown(metric.counts, max(at) + 1)
    rules, margins = policy.metrics[name], policy.margins(name)
    trail = series.trail(rows, learned, margins, rules=rules, steps=state.steps)
    for step, place, row, mine in zip(at, learned.series, learned.rows, learned.counts, strict=True):
        rows[step, place] += row
        counts[step, place] += mine
    return _Added(learned, rows, counts, trail)


def _grown(array: NDArray[_Number], steps: int) -> NDArray[_Number]:
    """A copy with rows for `steps` steps."""
    if steps <= len(array):
        return array.copy()
    return np.concatenate([array, np.zeros((steps - len(array), *array.shape[1:]), dtype=array.dtype)])


def _weighed(state: State, added: dict[str, _Added], policy: Policy) -> dict[str, MetricState]:
    """With the evidence and the bands of all that was learned."""
    found: dict[str, _Found] = {}
    for names in _alike(added, policy):
        found |= _found(names, state, added, policy)
    rates, lines, metrics = _rates(state, added, policy), _lines(policy), {}
    for name, new in added.items():
        before, rules, margins = state.metrics[name], policy.metrics[name], policy.margins(name)
        against, asked, kept = found[name]
        metrics[name] = MetricState(
            rows=new.rows,
            counts=new.counts,
            kept=kept,
            kept_rates=rates.get(name, before.kept_rates),
            against=against,
            log_e=series.log_e_rollback(against, new.counts, margins, rules=rules, steps=state.steps),
            log_boost=_boosted(name, new, asked, state, policy, line=lines.get(name, math.inf)),
            log_e_bake=before.log_e_bake,
            polls=before.polls + 1,
            t=max(before.t, new.learned.t),
            baked=before.baked,
        )
    return metrics


def _found(names: list[str], state: State, added: dict[str, _Added], policy: Policy) -> dict[str, _Found]:
    """Of metrics that are weighed alike, in one pass: what a look costs is the number of calls, not the length of the
    arrays.
    """
    rules, margins = policy.metrics[names[0]], policy.margins(names[0])
    news = [added[name] for name in names]
    arrays = [series.beyond(new.rows, margins, rules=rules) for new in news] + [new.trail for new in news]
    rows = np.concatenate(arrays, axis=1)
    against = series.compared(rows, margins, rules=rules, steps=state.steps)
    kept = np.concatenate([state.metrics[name].kept for name in names])
    kept = series.narrowed(kept, np.concatenate([new.rows.sum(axis=0) for new in news]), margins, rules=rules)
    found, begin, behind = {}, 0, len(kept)
    for name, new in zip(names, news, strict=True):
        mine = slice(begin, begin := begin + new.rows.shape[1])
        found[name] = (against[mine], against[behind : (behind := behind + new.trail.shape[1])], kept[mine])
    return found


def _rates(state: State, added: dict[str, _Added], policy: Policy) -> dict[str, NDArray[np.bool_]]:
    """The bands of both rates of each metric that has such."""
    names = [name for name in added if series.has_rates(policy.metrics[name])]
    if not names:
        return {}
    kept = np.array([state.metrics[name].kept_rates for name in names])
    totals = np.array([added[name].counts[:, 0].sum(axis=0) for name in names])
    return dict(zip(names, series.narrowed_rates(kept, totals, policy.alpha), strict=True))


def _lines(policy: Policy) -> dict[str, float]:
    """ln of the evidence with which a metric alone would have the release rolled back."""
    return {name: -math.log(policy.alpha * share) for name, share in rollback_weights(policy, baked=False).items()}


def _boosted(name: str, added: _Added, asked: Floats, state: State, policy: Policy, *, line: float) -> float:
    """The metric's log_boost after the look's polls; `asked`: the evidence of each series of their trail."""
    raised, told = state.metrics[name].log_boost, asked.reshape(-1, 2).tolist()
    for number, (before, most) in enumerate(told):
        if most > line - raised:
            rows = added.trail[:, 2 * number : 2 * number + 1]
            rules, margins = policy.metrics[name], policy.margins(name)
            raised += series.boost(
                rows, added.learned, number, margins, rules=rules, steps=state.steps, before=before, line=line - raised
            )
    return raised


def _alike(added: dict[str, _Added], policy: Policy) -> Iterable[list[str]]:
    """The metrics in groups that share a prior, a kind of series and a number of steps."""
    groups: dict[object, list[str]] = {}
    for name, mine in added.items():
        groups.setdefault(series.likeness(policy.metrics[name], len(mine.rows)), []).append(name)
    return groups.values()


def _add_baked(metric: MetricState, poll: Poll, policy: Policy) -> MetricState:
    """After the promotion there is no other arm: the main part's tolerated rate alone speaks, where there is one."""
    rules = policy.metrics[poll.metric]
    if poll.part != rules.parts[0]:
        return metric
    n, e = metric.baked[0] + poll.n_c, metric.baked[1] + poll.e_c
    tolerated = series.own_rate(rules)
    log_e = 0.0 if tolerated is None else float(evidence.log_e_intolerable(n, e, tolerated))
    return replace(metric, baked=(n, e), log_e_bake=log_e, polls=metric.polls + 1, t=max(metric.t, poll.t))


def rollback_weights(policy: Policy, *, baked: bool) -> dict[str, float]:
    """The weights of the mean; in the bake only metrics with a tolerated rate have a voice. They sum to 1."""
    weights = policy.weights()
    if not baked:
        return weights
    able = {name: w for name, w in weights.items() if series.own_rate(policy.metrics[name]) is not None}
    total = sum(able.values())
    return {name: w / total for name, w in able.items()}


def log_e_mean(state: State, policy: Policy, *, baked: bool) -> float:
    """ln of the weighted mean of the metrics' e-values: one that has seen nothing counts as 1."""
    logs = log_shares(state, policy, baked=baked)
    return float(np.logaddexp.reduce(list(logs.values()))) if logs else 0.0


def log_shares(state: State, policy: Policy, *, baked: bool) -> dict[str, float]:
    """ln (weight x e-value) of each metric: its part of the mean."""
    shares = {}
    for name, weight in rollback_weights(policy, baked=baked).items():
        metric = state.metrics.get(name)
        value = 0.0 if metric is None else metric.log_e_bake if baked else metric.log_e + metric.log_boost
        shares[name] = math.log(weight) + value
    return shares


def _latch(state: State, policy: Policy) -> State:
    """Before the promotion and after it are two questions, each with an answer of its own."""
    has_baked = any(metric.baked[0] for metric in state.metrics.values())
    for baked in (False, True) if has_baked else (False,):
        if log_e_mean(state, policy, baked=baked) >= -math.log(policy.alpha):
            return replace(state, latched=state.t, latched_in_bake=baked)
    return state
