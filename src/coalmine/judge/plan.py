"""What a policy will cost and catch at a level of traffic, before anything is released: seeded simulations.

The same made-up traffic goes through the policies (`coalmine.judge.simulate`) and through Flagger's own counting of
failed checks. Arrivals are Poisson, failures Bernoulli and independent.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from coalmine.errors import BadInput
from coalmine.judge.backtest.flagger import Check, Flagger
from coalmine.judge.policy import Policy
from coalmine.judge.simulate import Floats, Ints, Ramp, Runs, Traffic, rollouts
from coalmine.records import Decision

FAULTS = (0.01, 0.02, 0.05, 0.20)
CONFIDENCE = 0.99
_LEAST = 50  # runs of a fault; a healthy release gets all of them, since its chance of a rollback is small


@dataclass(frozen=True, slots=True)
class Question:
    """`faults`: the canary's error rates that are to be caught; those within the primary's own are passed by."""

    ramp: Ramp
    rps: float
    error_rate: float
    faults: tuple[float, ...] = FAULTS
    runs: int = 1000
    seed: int = 0
    max_canary_requests: int = 20_000


@dataclass(frozen=True, slots=True)
class Outlook:
    """What `by` makes of a canary with the error rate `rate` (`healthy`: that of the primary). Shares are of `runs`,
    and `rolled_back_high` is the one-sided 99 % Clopper-Pearson bound. Requests, failures and seconds are of the
    runs that ended as they should (a healthy one promoted, another rolled back): None without any.
    """

    by: str
    healthy: bool
    rate: float
    runs: int
    rolled_back: float
    rolled_back_high: float
    promoted: float
    mean_requests: float | None
    mean_failures: float | None
    median_seconds: float | None
    p90_seconds: float | None
    ended: tuple[float, ...] = ()  # seconds, sorted: when each of those runs ended


def _quietly(sentence: str) -> None:
    del sentence


def plan(
    question: Question,
    policies: Sequence[tuple[str, Policy]],
    *,
    flagger: Sequence[Flagger] = (),
    tell: Callable[[str], None] = _quietly,
) -> list[Outlook]:
    """One outlook for each policy and Canary on each scenario; `tell` hears of progress.

    Raises:
        BadInput: numbers out of range, a policy without a metric that can be simulated, a Canary without a check.
    """
    for rules in flagger:
        _can_be_followed(rules)
    found = []
    for rate in (question.error_rate, *(fault for fault in question.faults if fault > question.error_rate)):
        healthy = rate == question.error_rate
        runs = question.runs if healthy else min(question.runs, max(_LEAST, question.runs // 4))
        traffic = Traffic(question.rps, question.error_rate, rate)
        what = "a healthy release" if healthy else f"{100 * rate:g} % errors"
        for name, policy in policies:
            tell(f"{name}: {what}, {runs} runs")
            found.append(_outlook(name, rate, _simulated(question, policy, traffic, runs=runs), healthy=healthy))
        for rules in flagger:
            tell(f"{title(rules)}: {what}, {runs} runs")
            ended = flagger_rollouts(rules, traffic, runs=runs, seed=question.seed)
            found.append(_outlook(title(rules), rate, ended, healthy=healthy))
    return found


def title(rules: Flagger) -> str:
    """How a Canary's thresholds are called beside policies."""
    return f"Flagger: {rules.name}"


def _can_be_followed(rules: Flagger) -> None:
    if not rules.checks or not rules.weights:
        raise BadInput(
            f"Canary {rules.name} has no {'steps' if rules.checks else 'metric about failed requests'}",
            where="--flagger",
            remedy="stepWeights, and request-success-rate, success-rate or error-rate (in percent)",
        )


def _simulated(question: Question, policy: Policy, traffic: Traffic, *, runs: int) -> Runs:
    limit = question.max_canary_requests
    return rollouts(policy, question.ramp, traffic, runs=runs, seed=question.seed, max_canary_requests=limit)


def _outlook(by: str, rate: float, runs: Runs, *, healthy: bool) -> Outlook:
    count = runs.decision.size
    rolled_back = int((runs.decision == Decision.ROLLBACK).sum())
    right = runs.decision == (Decision.PROMOTE if healthy else Decision.ROLLBACK)
    seconds = np.sort(runs.t[right])
    some = bool(seconds.size)
    return Outlook(
        by=by,
        healthy=healthy,
        rate=rate,
        runs=count,
        rolled_back=rolled_back / count,
        rolled_back_high=upper_bound(rolled_back, count),
        promoted=float((runs.decision == Decision.PROMOTE).mean()),
        mean_requests=float(runs.canary_requests[right].mean()) if some else None,
        mean_failures=float(runs.canary_failures[right].mean()) if some else None,
        median_seconds=float(np.median(seconds)) if some else None,
        p90_seconds=float(np.quantile(seconds, 0.9)) if some else None,
        ended=tuple(float(t) for t in seconds),
    )


def upper_bound(k: int, n: int) -> float:
    """Clopper & Pearson 1934, one-sided at 99 %: k of n."""
    return 1.0 if k == n else float(betaincinv(k + 1, n - k, CONFIDENCE))


def flagger_rollouts(rules: Flagger, traffic: Traffic, *, runs: int, seed: int) -> Runs:
    """Flagger's counting of failed checks in many rollouts at once; each ends, since each tick passes or fails.

    `t` is from the first exposure. Prometheus is taken to answer at once and exactly: its scrapes and rate() add to it.
    """
    rng = np.random.default_rng(seed)
    slots = max(1, math.ceil(rules.interval / min(check.window for check in rules.checks)))
    slot = rules.interval / slots
    longest = max(_slots(check, slot) for check in rules.checks)
    seen: deque[tuple[Ints, Ints]] = deque(maxlen=longest)  # the latest last: requests and failures of each run
    shares = np.asarray(rules.weights) / 100.0
    failed, passed = np.zeros(runs, dtype=np.int64), np.zeros(runs, dtype=np.int64)
    totals = np.zeros((2, runs), dtype=np.int64)
    decision, t = np.full(runs, "", dtype="<U12"), np.zeros(runs)
    now = 0.0
    while (going := decision == "").any():
        for _ in range(slots):
            at = shares[np.minimum(passed, shares.size - 1)]
            n = rng.poisson(traffic.requests_per_second * slot * at)
            seen.append((n, rng.binomial(n, traffic.p_c)))
            totals += np.where(going, np.stack(seen[-1]), 0)
        now += rules.interval
        over = going & (failed >= rules.threshold)
        decision[over], t[over] = Decision.ROLLBACK, now
        passes = _passes(rules.checks, seen, slot)
        passed += going & ~over & passes
        failed += going & ~over & ~passes
        done = going & (passed == shares.size)
        decision[done], t[done] = Decision.PROMOTE, now
    return Runs(decision, t, totals[0], totals[1], np.zeros(runs))


def _slots(check: Check, slot: float) -> int:
    return max(1, round(check.window / slot))


def _passes(checks: Sequence[Check], seen: deque[tuple[Ints, Ints]], slot: float) -> NDArray[np.bool_]:
    """Which runs pass all checks now. No request within a window is a failed check."""
    passes = np.ones(seen[-1][0].size, dtype=np.bool_)
    for check in checks:
        window = list(seen)[-_slots(check, slot) :]
        n, bad = (sum(pair[place] for pair in window) for place in (0, 1))
        rate: Floats = 1.0 - bad / np.maximum(n, 1)
        passes &= (np.asarray(n) > 0) & (rate >= check.low) & (rate <= check.high)
    return passes
