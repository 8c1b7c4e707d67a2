"""From a state to a verdict: pure, the moment is an argument. Rows of the truth table, the first that holds:

the evidence to roll back was reached at any poll          -> ROLLBACK (latched)
every guardrail passes, on all polls and on the last step,
  the data are fresh and the minimum duration has passed   -> PROMOTE
the maximum duration has passed                            -> INCONCLUSIVE, or what the policy makes of it
otherwise, no data included                                -> CONTINUE
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from coalmine.judge import evidence
from coalmine.judge.fold import MetricState, State, fresh_metric, guardrails, log_e_mean, log_shares
from coalmine.judge.policy import Against, Policy, Role
from coalmine.records import Decision

NOUNS = {"errors": "errors", "latency": "slow seconds", "feedback": "thumbs down"}


@dataclass(frozen=True, slots=True)
class MetricEvidence:
    """One metric as a person or a report wants it. Rates are None without data; `share` of the mean sums to 1."""

    name: str
    kind: str
    role: str
    n_c: int
    e_c: int
    n_b: int
    e_b: int
    rate_c: float | None
    rate_b: float | None
    log_e_rollback: float
    share: float
    log_e_promote: float
    log_e_tolerated: float | None
    log_e_noninferior: float
    log_e_last_step: float
    odds_low: float | None
    odds_high: float | None
    changed: bool
    passes: bool
    polls: int
    t: float
    baked_n: int
    baked_e: int
    log_e_bake: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided at time `t` and why, in one sentence that holds the numbers."""

    decision: Decision
    t: float
    reason: str
    log_e_mean: float
    threshold_rollback: float
    threshold_promote: float
    metrics: tuple[MetricEvidence, ...]


def judge(state: State, policy: Policy, now: float, *, opened: float) -> Verdict:
    """The verdict at `now` on an analysis that was opened at `opened` (Unix seconds)."""
    baked = state.latched_in_bake or any(metric.baked[0] for metric in state.metrics.values())
    shares = _shares(state, policy, baked=baked)
    metrics = tuple(_evidence(name, state, policy, share=shares.get(name, 0.0)) for name in policy.metrics)
    decision, reason = _row(state, policy, metrics, now=now, opened=opened)
    return Verdict(
        decision=decision,
        t=state.latched if state.latched is not None else now,
        reason=reason,
        log_e_mean=log_e_mean(state, policy, baked=baked),
        threshold_rollback=-math.log(policy.alpha),
        threshold_promote=-math.log(policy.beta),
        metrics=metrics,
    )


def _row(
    state: State, policy: Policy, metrics: tuple[MetricEvidence, ...], *, now: float, opened: float
) -> tuple[Decision, str]:
    if state.latched is not None:
        return Decision.ROLLBACK, _why_rollback(state, policy, metrics)
    waits = _waits(state, policy, metrics, now=now)
    if not waits:
        passed = [m for m in metrics if m.role == Role.GUARDRAIL]
        return Decision.PROMOTE, "; ".join(_why_passes(m, policy) for m in passed)
    begun = opened if state.started is None else state.started
    if now - begun > policy.maximum_seconds:
        text = f"no verdict within {policy.maximum_seconds:g} s: {'; '.join(waits)}"
        if policy.on_inconclusive == "rollback":
            return Decision.ROLLBACK, f"{text}; the policy rolls back then"
        return Decision.INCONCLUSIVE, text
    return Decision.CONTINUE, f"waiting for {'; '.join(waits)}"


def _waits(state: State, policy: Policy, metrics: tuple[MetricEvidence, ...], *, now: float) -> list[str]:
    """What stands between this state and a promotion; nothing: promote."""
    if state.started is None:
        return ["the first outcomes of the canary"]
    waits = []
    passed = state.t - state.started
    if passed < policy.minimum_seconds:
        waits.append(f"the minimum duration ({passed:.0f} of {policy.minimum_seconds:g} s)")
    needed = odds(-math.log(policy.beta))
    for metric in (m for m in metrics if m.role == Role.GUARDRAIL):
        if not metric.n_c:
            waits.append(f"data on {metric.name}")
        elif not metric.passes:
            waits.append(f"{metric.name}: no worse with odds {odds(metric.log_e_noninferior)}, {needed} needed")
        elif metric.log_e_last_step <= 0:
            waits.append(f"{metric.name}: outcomes of the last step ({state.steps[-1]} %) that point the same way")
        elif now - metric.t > policy.fresh_seconds:
            waits.append(f"fresh data on {metric.name} (none for {now - metric.t:.0f} s)")
    return waits


def _evidence(name: str, state: State, policy: Policy, *, share: float) -> MetricEvidence:
    metric = state.metrics.get(name) or fresh_metric()
    margins, rules = policy.margins(name), policy.metrics[name]
    prior = evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote)
    n_c, e_c, n_b, e_b = metric.totals
    log_promote = float(evidence.log_e_promote(metric.likelihood, prior))
    log_tolerated = _tolerated(n_c, e_c, margins.tolerated_rate)
    noninferior = _noninferior(log_promote, log_tolerated, against=rules.against)
    band = evidence.ends(metric.kept)
    return MetricEvidence(
        name=name, kind=rules.kind, role=str(rules.role), n_c=n_c, e_c=e_c, n_b=n_b, e_b=e_b,
        rate_c=e_c / n_c if n_c else None, rate_b=e_b / n_b if n_b else None,
        log_e_rollback=metric.log_e, share=share,
        log_e_promote=log_promote, log_e_tolerated=log_tolerated, log_e_noninferior=noninferior,
        log_e_last_step=_last_step(metric, state, policy, name=name),
        odds_low=math.exp(band[0]) if band else None, odds_high=math.exp(band[1]) if band else None,
        changed=band is None, passes=noninferior >= -math.log(policy.beta), polls=metric.polls, t=metric.t,
        baked_n=metric.baked[0], baked_e=metric.baked[1], log_e_bake=metric.log_e_bake,
    )  # fmt: skip


def _tolerated(n: int, e: int, rate: float | None) -> float | None:
    return None if rate is None else evidence.log_e_tolerated(n, e, rate)


def _noninferior(log_promote: float, log_tolerated: float | None, *, against: Against) -> float:
    if against is Against.TOLERATED and log_tolerated is not None:
        return log_tolerated
    return evidence.log_e_noninferior(log_promote, log_tolerated)


def _last_step(metric: MetricState, state: State, policy: Policy, *, name: str) -> float:
    """Non-inferiority on the outcomes of the last step alone; 0 while it has none."""
    last = len(state.steps) - 1
    if last < 0 or len(metric.rows) <= last:
        return 0.0
    margins = policy.margins(name)
    prior = evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote)
    log_promote = float(evidence.log_e_promote(metric.rows[last], prior))
    n_c, e_c = (int(value) for value in metric.counts[last, :2])
    tolerated = _tolerated(n_c, e_c, margins.tolerated_rate)
    return _noninferior(log_promote, tolerated, against=policy.metrics[name].against)


def _shares(state: State, policy: Policy, *, baked: bool) -> dict[str, float]:
    logs = log_shares(state, policy, baked=baked)
    if not logs:
        return {}
    total = float(np.logaddexp.reduce(list(logs.values())))
    return {name: math.exp(value - total) for name, value in logs.items()}


def extra_failures(state: State, policy: Policy) -> float:
    """Expected failures that the next step would add: the excess seen in this step x the step's outcomes."""
    worst = 0.0
    for name, metric in state.metrics.items():
        if policy.metrics[name].kind != "errors" or len(metric.counts) < len(state.steps) or not state.steps:
            continue
        n_c, e_c, n_b, e_b = (int(value) for value in metric.counts[len(state.steps) - 1])
        excess = (e_c / n_c if n_c else 0.0) - (e_b / n_b if n_b else 0.0)
        worst = max(worst, excess * policy.step_outcomes)
    return worst


def log_e_sample_ratio(state: State, policy: Policy) -> float:
    """H0: each arm gets the share that the weight says; factors multiply over the steps (requests only)."""
    total = 0.0
    for name, metric in state.metrics.items():
        if policy.metrics[name].kind != "errors":
            continue
        for step, row in zip(state.steps, metric.counts, strict=False):
            if 0 < step < 100:
                total += evidence.log_e_sample_ratio(int(row[0]), int(row[2]), step / 100)
    return total


# ---- sentences ---------------------------------------------------------------------------------------------------


def _why_rollback(state: State, policy: Policy, metrics: tuple[MetricEvidence, ...]) -> str:
    named = sorted((m for m in metrics if m.share >= 0.1), key=lambda m: -m.share)
    if state.latched_in_bake:
        return "after the promotion: " + "; ".join(_baked(m, policy) for m in named)
    texts = [_compare(m, policy) for m in named]
    if len(named) > 1:
        texts = [f"{text} ({m.share:.0%} of the evidence)" for text, m in zip(texts, named, strict=True)]
    return "; ".join(texts)


def _compare(metric: MetricEvidence, policy: Policy) -> str:
    against = policy.metrics[metric.name].against
    text = f"canary {_noun(metric)} {_rate(metric.e_c, metric.n_c)}, "
    if against is not Against.TOLERATED:
        text += f"primary {_rate(metric.e_b, metric.n_b)}: "
    limit = policy.metrics[metric.name].tolerated_rate
    verb = "worse" if against is Against.BASELINE else f"above the tolerated {limit:.3g}"
    return f"{text}{verb} with odds {odds(metric.log_e_rollback)}"


def _baked(metric: MetricEvidence, policy: Policy) -> str:
    limit = policy.metrics[metric.name].tolerated_rate or 0.0
    seen = _rate(metric.baked_e, metric.baked_n)
    return f"{_noun(metric)} {seen}: above the tolerated {limit * 100:.3g} % with odds {odds(metric.log_e_bake)}"


def _why_passes(metric: MetricEvidence, policy: Policy) -> str:
    del policy
    primary = f", primary {_rate(metric.e_b, metric.n_b)}" if metric.n_b else ""
    seen = f"canary {_noun(metric)} {_rate(metric.e_c, metric.n_c)}{primary}"
    return f"{seen}: no worse with odds {odds(metric.log_e_noninferior)}"


def _noun(metric: MetricEvidence) -> str:
    return NOUNS[metric.kind] if metric.name == metric.kind else metric.name


def _rate(bad: int, n: int) -> str:
    return f"{100 * bad / n:.1f} % ({bad:,} of {n:,})" if n else "not seen"


def odds(log_e: float) -> str:
    """An e-value as odds; beyond a million the number says nothing more."""
    if log_e > math.log(1e6):
        return "over 1,000,000:1"
    value = math.exp(log_e)
    return f"{value:,.0f}:1" if value >= 10 else f"{value:.2g}:1"


__all__ = ["MetricEvidence", "Verdict", "extra_failures", "guardrails", "judge", "log_e_sample_ratio", "odds"]
