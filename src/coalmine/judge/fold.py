"""The state of one analysis: a pure fold over its polls. The same polls in the same order give the same bits.

A poll's step is the weight at which its units were routed. Late labels therefore land in the row of the step that
they belong to, and each (poll of arrival, step) is a factor of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from coalmine.judge import evidence
from coalmine.judge.evidence import Floats
from coalmine.judge.policy import Against, Margins, Policy, Role
from coalmine.records import Poll

BAKED = -1  # the step of outcomes that came after the promotion, in the bake time
Counts = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class MetricState:
    """What one metric has shown. Row j of `rows` (shape J x evidence.POINTS) and `counts` (J x 4) is step j."""

    rows: Floats
    counts: NDArray[np.int64]
    kept: NDArray[np.bool_]  # the running intersection of the confidence sequence, on evidence.GRID
    log_e: float = 0.0  # evidence to roll back, mixed over the restarts
    log_e_bake: float = 0.0
    polls: int = 0
    t: float = 0.0
    baked: tuple[int, int] = (0, 0)

    @property
    def likelihood(self) -> Floats:
        return np.asarray(self.rows.sum(axis=0), dtype=np.float64)

    @property
    def totals(self) -> Counts:
        n_c, e_c, n_b, e_b = (int(value) for value in self.counts.sum(axis=0))
        return n_c, e_c, n_b, e_b


@dataclass(frozen=True, slots=True)
class State:
    """All metrics of one analysis. `latched` is the time at which the evidence first called for a rollback."""

    steps: tuple[int, ...] = ()
    metrics: dict[str, MetricState] = field(default_factory=dict)
    started: float | None = None
    t: float = 0.0
    latched: float | None = None
    log_e_latched: float = 0.0
    latched_in_bake: bool = False


def fresh_metric() -> MetricState:
    return MetricState(
        rows=np.zeros((0, evidence.POINTS)),
        counts=np.zeros((0, 4), dtype=np.int64),
        kept=np.ones(evidence.GRID.size, dtype=np.bool_),
    )


def fold_all(polls: Iterable[Poll], policy: Policy, state: State | None = None) -> State:
    """The state after `polls`, from `state` or from nothing."""
    state = State() if state is None else state
    for poll in polls:
        state = fold(state, poll, policy)
    return state


def fold(state: State, poll: Poll, policy: Policy) -> State:
    """One more poll. A metric that the policy does not know adds nothing, nor does what comes after a rollback was
    called for: the verdict keeps the numbers that it was reached with.
    """
    if poll.metric not in policy.metrics or state.latched is not None:
        return state
    metric = state.metrics.get(poll.metric) or fresh_metric()
    if poll.step == BAKED:
        metric = _add_baked(metric, poll, policy)
        return _latch(_with(state, poll, metric), policy, baked=True)
    steps = state.steps if poll.step in state.steps else (*state.steps, poll.step)
    row = len(steps) - 1 - steps[::-1].index(poll.step)
    metric = _add(metric, poll, row, policy=policy)
    state = replace(state, steps=steps, started=poll.t if state.started is None else state.started)
    return _latch(_with(state, poll, metric), policy, baked=False)


def _with(state: State, poll: Poll, metric: MetricState) -> State:
    return replace(state, metrics={**state.metrics, poll.metric: metric}, t=max(state.t, poll.t))


def _add(metric: MetricState, poll: Poll, row: int, *, policy: Policy) -> MetricState:
    margins = policy.margins(poll.metric)
    prior = evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote)
    missing = row + 1 - len(metric.rows)
    grown = max(0, missing)
    rows = np.concatenate([metric.rows, np.zeros((grown, evidence.POINTS))])
    counts = np.concatenate([metric.counts, np.zeros((grown, 4), dtype=np.int64)])
    outcome = (poll.n_c, poll.e_c, poll.n_b, poll.e_b)
    counts[row] += outcome
    kept = metric.kept
    if poll.n_c and poll.n_b and (poll.e_c or poll.e_b):
        rows[row] += evidence.fnch_log_pmf(outcome, prior.points)
        kept = kept & evidence.confidence_mask(rows.sum(axis=0), prior, margins.alpha)
    log_e = _rollback(rows, counts, margins, against=policy.metrics[poll.metric].against)
    return replace(
        metric, rows=rows, counts=counts, kept=kept, log_e=log_e, polls=metric.polls + 1, t=max(metric.t, poll.t)
    )


def _rollback(rows: Floats, counts: NDArray[np.int64], margins: Margins, *, against: Against) -> float:
    """The smaller of two e-values is one for "either null holds": against `both`, a shared incident moves neither."""
    found: list[float] = []
    if against is not Against.TOLERATED:
        prior = evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote)
        found.append(evidence.log_e_restarted(evidence.log_e_rollback(evidence.since_step(rows), prior)))
    if against is not Against.BASELINE and margins.tolerated_rate is not None:
        since = np.cumsum(counts[::-1], axis=0)[::-1]
        own = [evidence.log_e_intolerable(int(n), int(e), margins.tolerated_rate) for n, e in since[:, :2]]
        found.append(evidence.log_e_restarted(np.asarray(own)))
    return min(found)


def _add_baked(metric: MetricState, poll: Poll, policy: Policy) -> MetricState:
    """After the promotion there is no other arm: the tolerated rate alone speaks, where there is one."""
    n, e = metric.baked[0] + poll.n_c, metric.baked[1] + poll.e_c
    tolerated = policy.metrics[poll.metric].tolerated_rate
    log_e = 0.0 if tolerated is None else evidence.log_e_intolerable(n, e, tolerated)
    return replace(metric, baked=(n, e), log_e_bake=log_e, polls=metric.polls + 1, t=max(metric.t, poll.t))


def rollback_weights(policy: Policy, *, baked: bool) -> dict[str, float]:
    """The weights of the mean; in the bake only metrics with a tolerated rate have a voice. They sum to 1."""
    weights = policy.weights()
    if not baked:
        return weights
    able = {name: w for name, w in weights.items() if policy.metrics[name].tolerated_rate is not None}
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
        value = 0.0 if metric is None else metric.log_e_bake if baked else metric.log_e
        shares[name] = math.log(weight) + value
    return shares


def _latch(state: State, policy: Policy, *, baked: bool) -> State:
    mean = log_e_mean(state, policy, baked=baked)
    if mean < -math.log(policy.alpha):
        return state
    return replace(state, latched=state.t, log_e_latched=mean, latched_in_bake=baked)


def guardrails(policy: Policy) -> tuple[str, ...]:
    return tuple(name for name, metric in policy.metrics.items() if metric.role is Role.GUARDRAIL)
