"""Many seeded rollouts of one Bernoulli metric at once: what a policy would do with made-up traffic.

Vectorised over runs with the functions of `coalmine.judge.evidence`; decisions, times and evidence are those of
`fold` and `decide` on the same polls. Polls are cut and steps earned by the rules of `counting` and `hooks`. The
other metrics of the policy see nothing: their e-values stay 1 in the mean, and as guardrails they are taken to pass.
Shares of traffic are right, so the sample ratio never pauses anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from coalmine.errors import BadInput
from coalmine.judge.manyfold import Batch
from coalmine.judge.pending import LONGEST_POLL
from coalmine.judge.policy import Policy, Role
from coalmine.records import Decision

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Draw = Callable[[Ints, int], Ints]  # (the step's index of each run, number of the poll) -> (runs, 4) counts
BERNOULLI = ("errors", "feedback", "latency")


@dataclass(frozen=True, slots=True)
class Ramp:
    """Whole percent for the canary, step by step; a step lasts `interval_seconds` or until it is earned."""

    weights: tuple[int, ...]
    interval_seconds: float

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.weights, self.weights[1:], strict=False))
        if not self.weights or not rising or self.weights[0] < 1 or self.weights[-1] > 100:
            raise BadInput(
                f"weights {self.weights}: a ramp rises from step to step, within 1 and 100", remedy="such as 5,10,25,50"
            )
        if not 0 < self.interval_seconds < math.inf:
            raise BadInput(f"interval_seconds {self.interval_seconds}", remedy="a number of seconds above 0")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Poisson arrivals, `requests_per_second` over both arms, failing at `p_b` and `p_c` (shares between 0 and 1).
    Before the ramp's step with index `from_step` the canary fails at `p_b` as well.
    """

    requests_per_second: float
    p_b: float
    p_c: float
    from_step: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.requests_per_second <= 1e6:
            raise BadInput(f"requests_per_second {self.requests_per_second}", remedy="above 0 and up to a million")
        if not (0 <= self.p_b <= 1 and 0 <= self.p_c <= 1):
            raise BadInput(f"error rates {self.p_b} and {self.p_c}", remedy="shares between 0 and 1")


@dataclass(frozen=True, slots=True)
class Runs:
    """How each run ended: arrays of length runs. `t` is in seconds since the first request; CONTINUE: undecided after
    `max_canary_requests`. `log_e_rollback` is that of the metric at the end.
    """

    decision: NDArray[np.str_]
    t: Floats
    canary_requests: Ints
    canary_failures: Ints
    log_e_rollback: Floats


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop. Without `promote` a run goes on until it is rolled back or at its limit."""

    max_canary_requests: int = 20_000
    poll_seconds: float = 10.0
    promote: bool = True


def rollouts(
    policy: Policy,
    ramp: Ramp,
    traffic: Traffic,
    *,
    runs: int,
    seed: int,
    max_canary_requests: int = 20_000,
    poll_seconds: float = 10.0,
) -> Runs:
    """`runs` rollouts of the policy's first errors metric (or its first Bernoulli one) along `ramp`.

    Raises BadInput for numbers out of range and for a policy without such a metric.
    """
    if min(runs, max_canary_requests) < 1 or seed < 0 or not 0 < poll_seconds < math.inf:
        text = f"{runs} runs of up to {max_canary_requests} requests, a poll every {poll_seconds} s, seed {seed}"
        raise BadInput(text, remedy="all above 0; the seed may be 0")
    rng = np.random.default_rng(seed)
    shares = np.asarray(ramp.weights) / 100.0
    at_once = traffic.requests_per_second * poll_seconds
    p_c = np.where(np.arange(shares.size) < traffic.from_step, traffic.p_b, traffic.p_c)

    def draw(step: Ints, poll: int) -> Ints:
        del poll
        n_c, n_b = rng.poisson(at_once * shares[step]), rng.poisson(at_once * (1.0 - shares[step]))
        return np.stack([n_c, rng.binomial(n_c, p_c[step]), n_b, rng.binomial(n_b, traffic.p_b)], axis=1)

    limits = Limits(max_canary_requests=max_canary_requests, poll_seconds=poll_seconds)
    return follow(policy, ramp, draw, runs=runs, limits=limits)


def follow(policy: Policy, ramp: Ramp, draw: Draw, *, runs: int, limits: Limits) -> Runs:
    """Rollouts whose counts come from `draw`, called every `poll_seconds` for all runs, also those that have ended."""
    course = _Course(policy, ramp, limits, runs=runs)
    poll = 0
    while course.going.any():
        course.advance(draw(course.step, poll), poll)
        poll += 1
    return course.result()


def simulated(policy: Policy) -> str:
    """The metric that is simulated: the first of kind errors, else the first Bernoulli one; never one just observed."""
    for kinds in (("errors",), BERNOULLI):
        for name, metric in policy.metrics.items():
            if metric.kind in kinds and metric.role is not Role.OBSERVE:
                return name
    raise BadInput("the policy has no metric that can be simulated", remedy="metrics: {errors: {role: guardrail}}")


@dataclass(slots=True)
class _Course:
    """All runs on their way: which step each is at, what is not yet cut, how it ended."""

    policy: Policy
    ramp: Ramp
    limits: Limits
    runs: int
    batch: Batch = field(init=False)
    step: Ints = field(init=False)
    pending: Ints = field(init=False)
    begun: Floats = field(init=False)  # when the poll that is being filled began
    first: Floats = field(init=False)  # when the first poll was cut; NaN before
    decision: NDArray[np.str_] = field(init=False)
    t: Floats = field(init=False)
    next_tick: float = field(init=False)

    def __post_init__(self) -> None:
        self.batch = Batch(self.policy, simulated(self.policy), runs=self.runs, steps=self.ramp.weights)
        self.step = np.zeros(self.runs, dtype=np.int64)
        self.pending = np.zeros((self.runs, 4), dtype=np.int64)
        self.begun, self.t = np.zeros(self.runs), np.zeros(self.runs)
        self.first = np.full(self.runs, np.nan)
        self.decision = np.full(self.runs, "", dtype="<U12")
        self.next_tick = self.ramp.interval_seconds

    @property
    def going(self) -> NDArray[np.bool_]:
        return np.asarray(self.decision == "", dtype=np.bool_)

    def advance(self, drawn: Ints, poll: int) -> None:
        """One poll more: count, cut, judge, and move the ramp."""
        t = (poll + 1) * self.limits.poll_seconds
        going = self.going
        tick = t >= self.next_tick - 1e-9
        if tick:
            self.next_tick += max(self.ramp.interval_seconds, t - self.next_tick)
        self.pending[going] += drawn[going]
        earned = going & self._earned() if tick else np.zeros_like(going)
        outcomes = self.policy.metrics[self.batch.metric].poll_outcomes
        full = (self.pending[:, ::2] >= outcomes).all(axis=1) | (t - self.begun >= LONGEST_POLL)
        last = self.step == len(self.ramp.weights) - 1
        self._look(going & (full | (earned & ~last)) & self.pending[:, ::2].any(axis=1), t)
        if self.limits.promote:
            self._promote(earned & last, t)
        self._stop(t)
        self.step[self.going & earned & ~last] += 1

    def _look(self, cut: NDArray[np.bool_], t: float) -> None:
        which = np.flatnonzero(cut)
        self.batch.look(which, self.pending[which], self.step[which])
        self.pending[which] = 0
        self.begun[which] = t
        self.first[which] = np.where(np.isnan(self.first[which]), t, self.first[which])
        fired = which[self.batch.fires(which)]
        self.decision[fired], self.t[fired] = Decision.ROLLBACK, t

    def _earned(self) -> NDArray[np.bool_]:
        """Enough outcomes at this weight, and the next step would not cost too much."""
        counts = self.batch.counts[np.arange(self.runs), self.step]
        enough = counts[:, 0] + self.pending[:, 0] >= self.policy.step_outcomes
        if self.policy.metrics[self.batch.metric].kind != "errors":
            return enough
        rates = counts[:, 1::2] / np.maximum(counts[:, ::2], 1)
        extra = np.maximum(rates[:, 0] - rates[:, 1], 0.0) * self.policy.step_outcomes
        return np.asarray(enough & (extra <= self.policy.step_extra_failures), dtype=np.bool_)

    def _promote(self, asked: NDArray[np.bool_], t: float) -> None:
        lasted = t - np.nan_to_num(self.first, nan=np.inf) >= self.policy.minimum_seconds
        which = np.flatnonzero(asked & self.going & lasted)
        passed = which[self.batch.passes(which)]
        self.decision[passed], self.t[passed] = Decision.PROMOTE, t

    def _stop(self, t: float) -> None:
        if self.limits.promote:
            rest = Decision.ROLLBACK if self.policy.on_inconclusive == "rollback" else Decision.INCONCLUSIVE
            late = self.going & (t - np.nan_to_num(self.first, nan=0.0) > self.policy.maximum_seconds)
            self.decision[late], self.t[late] = rest, t
        seen = self.batch.counts[:, :, 0].sum(axis=1) + self.pending[:, 0]
        done = self.going & ((seen >= self.limits.max_canary_requests) | (t > 1e7))
        self.decision[done], self.t[done] = Decision.CONTINUE, t

    def result(self) -> Runs:
        """Requests that were served and not yet cut count as exposed."""
        totals = self.batch.counts.sum(axis=1) + self.pending
        log_e = self.batch.log_e(np.arange(self.runs))
        return Runs(self.decision, self.t, totals[:, 0], totals[:, 1], log_e)
