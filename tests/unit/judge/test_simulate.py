"""Simulated rollouts are real ones: the same polls through the real fold and verdict end alike."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.errors import BadInput
from coalmine.judge import decide, simulate
from coalmine.judge.fold import State, fold_all
from coalmine.judge.policy import Policy, load_policy
from coalmine.judge.simulate import Draw, Ints, Limits, Ramp, Runs, Traffic
from coalmine.records import Decision, Poll

OTHERS = "latency: {role: observe}, feedback: {role: observe}"
POLICIES = [
    f"{{step_outcomes: 20, metrics: {{errors: {{odds_ratio_rollback: 1}}, {OTHERS}}}}}",
    f"{{step_outcomes: 30, step_extra_failures: 2, metrics: {{errors: {{tolerated_rate: null}}, {OTHERS}}}}}",
    f"{{maximum_seconds: 900, alpha: 0.05, metrics: {{errors: {{against: both, tolerated_rate: 0.02}}, {OTHERS}}}}}",
    f"{{minimum_seconds: 500, metrics: {{errors: {{against: tolerated}}, {OTHERS}}}}}",
    f"{{maximum_seconds: 300, on_inconclusive: rollback, metrics: {{errors: {{poll_outcomes: 25}}, {OTHERS}}}}}",
    "{metrics: {errors: {weight: 1}, latency: {role: rollback}, feedback: {role: rollback, weight: 3}}}",
]


@dataclass
class Recorded:
    """What was drawn, poll by poll, to be replayed run by run."""

    rng: np.random.Generator
    ramp: Ramp
    traffic: Traffic
    runs: int
    drawn: list[Ints]

    def __call__(self, step: Ints, poll: int) -> Ints:
        assert poll == len(self.drawn)
        share = np.asarray(self.ramp.weights)[step] / 100
        at_once = self.traffic.requests_per_second * 10.0
        n_c, n_b = self.rng.poisson(at_once * share), self.rng.poisson(at_once * (1 - share))
        e_c = self.rng.binomial(n_c, np.where(step < self.traffic.from_step, self.traffic.p_b, self.traffic.p_c))
        self.drawn.append(np.stack([n_c, e_c, n_b, self.rng.binomial(n_b, self.traffic.p_b)], axis=1))
        return self.drawn[-1]


@dataclass
class Rollout:
    """One rollout as the runtime does it, with the real fold and verdict, a tick at a time."""

    policy: Policy
    ramp: Ramp
    limits: Limits
    state: State = field(default_factory=State)
    step: int = 0
    pending: tuple[int, ...] = (0, 0, 0, 0)
    begun: float = 0.0
    next_tick: float = 0.0

    def replay(self, drawn: list[Ints], run: int) -> tuple[str, float]:
        self.next_tick = self.ramp.interval_seconds
        for i, counts in enumerate(drawn):
            t = (i + 1) * self.limits.poll_seconds
            decision = self.tick(t, tuple(int(value) for value in counts[run]))
            if decision:
                return decision, t
        raise AssertionError("the recorded traffic ended before the rollout did")

    def tick(self, t: float, drawn: tuple[int, ...]) -> str:
        due = t >= self.next_tick - 1e-9
        if due:
            self.next_tick += max(self.ramp.interval_seconds, t - self.next_tick)
        self.pending = tuple(old + new for old, new in zip(self.pending, drawn, strict=True))
        moves, last = due and self.earned(), self.step == len(self.ramp.weights) - 1
        full = min(self.pending[0], self.pending[2]) >= self.policy.metrics["errors"].poll_outcomes
        if (full or t - self.begun >= 30 or (moves and not last)) and (self.pending[0] or self.pending[2]):
            n_c, e_c, n_b, e_b = self.pending
            poll = Poll(t, "errors", n_c, e_c, n_b, e_b, self.ramp.weights[self.step])
            self.state = fold_all([poll], self.policy, self.state)
            self.pending, self.begun = (0, 0, 0, 0), t
        verdict = decide.judge(self.state, self.policy, t, opened=0.0)
        if verdict.decision is Decision.ROLLBACK or (verdict.decision is Decision.PROMOTE and moves and last):
            return str(verdict.decision)
        if t - (self.state.started or 0.0) > self.policy.maximum_seconds:
            return "ROLLBACK" if self.policy.on_inconclusive == "rollback" else "INCONCLUSIVE"
        if self.routed() >= self.limits.max_canary_requests:
            return "CONTINUE"
        self.step += moves and not last
        return ""

    def routed(self) -> int:
        metric = self.state.metrics.get("errors")
        return self.pending[0] + (metric.totals[0] if metric else 0)

    def earned(self) -> bool:
        metric = self.state.metrics.get("errors")
        here = self.ramp.weights[self.step] in self.state.steps
        seen = int(metric.counts.reshape(-1, 4)[self.step, 0]) if metric and here else 0
        extra = decide.extra_failures(self.state, self.policy) if here else 0.0
        return seen + self.pending[0] >= self.policy.step_outcomes and extra <= self.policy.step_extra_failures


@settings(max_examples=40)
@given(
    text=st.sampled_from(POLICIES),
    seed=st.integers(0, 2**32),
    weights=st.sampled_from([(10,), (5, 10, 50), (20, 30, 40, 50)]),
    interval=st.sampled_from([1.0, 35.0, 60.0]),
    rate=st.sampled_from([1.0, 6.0, 25.0]),
    p_c=st.sampled_from([0.0, 0.005, 0.02, 0.06, 0.3]),
    p_b=st.sampled_from([0.005, 0.02]),
    from_step=st.integers(0, 2),
)
def test_a_simulated_rollout_ends_as_the_real_one_on_the_same_polls(
    text: str, seed: int, weights: tuple[int, ...], interval: float, rate: float, p_c: float, p_b: float, from_step: int
) -> None:
    policy, ramp, limits = load_policy(text), Ramp(weights, interval), Limits(max_canary_requests=600)
    draw = Recorded(np.random.default_rng(seed), ramp, Traffic(rate, p_b, p_c, from_step), 3, [])
    runs = simulate.follow(policy, ramp, draw, runs=3, limits=limits)
    for i in range(3):
        real = Rollout(policy, ramp, limits)
        decision, t = real.replay(draw.drawn, i)
        assert (runs.decision[i], runs.t[i]) == (decision, t)
        assert runs.canary_requests[i] == real.routed()
        log_e = real.state.metrics["errors"].log_e if real.state.metrics else 0.0
        assert runs.log_e_rollback[i] == pytest.approx(log_e, abs=1e-9)


def test_the_same_seed_gives_the_same_runs() -> None:
    policy, ramp, traffic = load_policy(""), Ramp((10, 50), 60.0), Traffic(10.0, 0.005, 0.02)
    one, two = (simulate.rollouts(policy, ramp, traffic, runs=20, seed=5) for _ in range(2))
    assert one.t.tolist() == two.t.tolist()
    assert one.decision.tolist() == two.decision.tolist()


def test_a_fault_from_a_later_step_is_met_at_that_step() -> None:
    ramp, fault = Ramp((10, 20, 50), 60.0), Traffic(20.0, 0.0, 0.5, from_step=1)
    runs = simulate.rollouts(load_policy(""), ramp, fault, runs=50, seed=6)
    assert set(runs.decision) == {"ROLLBACK"}
    assert runs.t.min() > 60
    assert runs.canary_failures.min() > 0


def test_without_traffic_to_learn_from_a_run_is_inconclusive_at_the_maximum_duration() -> None:
    policy = load_policy("{maximum_seconds: 100, metrics: {errors: {tolerated_rate: null}}}")
    runs: Runs = simulate.rollouts(policy, Ramp((10,), 10.0), Traffic(5.0, 0.0, 0.0), runs=4, seed=7)
    assert set(runs.decision) == {"INCONCLUSIVE"}
    assert not runs.canary_failures.any()


@pytest.mark.parametrize("weights", [(), (0, 10), (10, 10), (50, 20), (10, 101)])
def test_a_ramp_that_does_not_rise_is_refused(weights: tuple[int, ...]) -> None:
    with pytest.raises(BadInput):
        Ramp(weights, 60.0)


@pytest.mark.parametrize("traffic", [(0.0, 0.1, 0.1), (math.nan, 0.1, 0.1), (1.0, 1.5, 0.1), (1.0, 0.1, -0.1)])
def test_impossible_traffic_is_refused(traffic: tuple[float, float, float]) -> None:
    with pytest.raises(BadInput):
        Traffic(*traffic)


def test_a_policy_without_a_bernoulli_metric_cannot_be_simulated() -> None:
    text = "metrics: {errors: null, latency: null, feedback: null, cost: {kind: counts, role: guardrail}}"
    with pytest.raises(BadInput, match="simulated"):
        simulate.rollouts(load_policy(text), Ramp((10,), 60.0), Traffic(1.0, 0.1, 0.1), runs=1, seed=1)


def test_draws_may_be_any_function() -> None:
    draw: Draw = lambda step, _: np.tile(np.array([10, 10, 90, 0], dtype=np.int64), (step.size, 1))  # noqa: E731
    runs = simulate.follow(load_policy(""), Ramp((10,), 60.0), draw, runs=2, limits=Limits())
    assert runs.decision.tolist() == ["ROLLBACK", "ROLLBACK"]
    assert runs.t.tolist() == [10.0, 10.0]
