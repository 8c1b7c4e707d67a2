"""From a state to a verdict: pure, the moment is an argument. Rows of the truth table, the first that holds:

the evidence to roll back was reached at any poll          -> ROLLBACK (latched)
a person said so                                           -> ROLLBACK, CONTINUE (hold) or PROMOTE (approve)
every guardrail passes, on all polls and on the last step,
  the data are fresh and the minimum duration has passed   -> PROMOTE
the maximum duration has passed                            -> INCONCLUSIVE, or what the policy makes of it
otherwise, no data included                                -> CONTINUE
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from coalmine.judge import evidence, sentences, series
from coalmine.judge.evidence import scores
from coalmine.judge.fold import MetricState, State, fresh_metric, log_e_mean, log_shares
from coalmine.judge.policy import MetricRules, Policy, Resource, Role, Score
from coalmine.judge.sentences import odds
from coalmine.judge.verdict import MetricEvidence, Override, PartEvidence, Verdict
from coalmine.records import Decision

_Band = tuple[float | None, float | None]


def judge(state: State, policy: Policy, now: float, *, opened: float, override: Override | None = None) -> Verdict:
    """The verdict at `now` on an analysis that was opened at `opened` (Unix seconds)."""
    baked = state.latched_in_bake or any(metric.baked[0] for metric in state.metrics.values())
    shares = _shares(state, policy, baked=baked)
    metrics = tuple(_evidence(name, state, policy, share=shares.get(name, 0.0)) for name in policy.metrics)
    decision, reason = _row(state, policy, metrics, now=now, opened=opened)
    if override is not None and state.latched is None:
        decision, reason = _said(override, decision, reason)
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
        return Decision.ROLLBACK, sentences.why_rollback(state, policy, metrics)
    waits = _waits(state, policy, metrics, now=now)
    if not waits:
        passed = [m for m in metrics if m.role == Role.GUARDRAIL]
        return Decision.PROMOTE, "; ".join(sentences.why_passes(m) for m in passed)
    begun = opened if state.started is None else state.started
    if now - begun > policy.maximum_seconds:
        text = f"no verdict within {policy.maximum_seconds:g} s: {'; '.join(waits)}"
        if policy.on_inconclusive == "rollback":
            return Decision.ROLLBACK, f"{text}; the policy rolls back then"
        return Decision.INCONCLUSIVE, text
    return Decision.CONTINUE, f"waiting for {'; '.join(waits)}"


def _said(override: Override, decision: Decision, reason: str) -> tuple[Decision, str]:
    """What a person said, with what the evidence says beside it."""
    decisions = {"rollback": Decision.ROLLBACK, "hold": Decision.CONTINUE, "approve": Decision.PROMOTE}
    verbs = {"rollback": "rolled back", "hold": "held", "approve": "approved"}
    text = f"{verbs[override.action]} by {override.who}: {override.why}"
    return decisions[override.action], f"{text} (the evidence: {decision}, {reason})"


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
    metric = state.metrics.get(name) or fresh_metric(name, policy)
    margins, rules = policy.margins(name), policy.metrics[name]
    n_c, e_c, n_b, e_b = metric.totals
    row = series.asked_of(metric.rows, rules).sum(axis=0)
    holds = series.log_e_noninferior(row, metric.counts.sum(axis=0), margins, rules=rules)
    unit = scores.UNIT if isinstance(rules, Score) else 1
    bands = _bands(metric, rules)
    rates = [_rate_band(kept, n, rules) for kept, n in zip(metric.kept_rates, (n_c, n_b), strict=True)]
    apart = scores.difference_band(row[0], margins.alpha) if isinstance(rules, Score) else None
    return MetricEvidence(
        name=name, kind=rules.kind, role=str(rules.role), n_c=n_c, e_c=e_c, n_b=n_b, e_b=e_b,
        rate_c=e_c / n_c / unit if n_c else None, rate_b=e_b / n_b / unit if n_b else None,
        rate_c_low=rates[0][0], rate_c_high=rates[0][1], rate_b_low=rates[1][0], rate_b_high=rates[1][1],
        log_e_rollback=metric.log_e, log_boost=metric.log_boost, share=share,
        log_e_promote=holds.promote, log_e_tolerated=holds.tolerated, log_e_noninferior=holds.whole,
        log_e_last_step=_last_step(metric, state, policy, name=name),
        odds_low=bands[0][0], odds_high=bands[0][1],
        difference_low=apart[0] if apart else None, difference_high=apart[1] if apart else None,
        changed=not metric.kept[0].any(), passes=holds.whole >= -math.log(policy.beta), polls=metric.polls, t=metric.t,
        baked_n=metric.baked[0], baked_e=metric.baked[1], log_e_bake=metric.log_e_bake,
        parts=tuple(_parts(metric, rules, bands)),
    )  # fmt: skip


def _bands(metric: MetricState, rules: MetricRules) -> list[_Band]:
    """The confidence sequence of each series' odds ratio."""
    if isinstance(rules, Score | Resource):
        return [(None, None)] * len(metric.kept)
    found = evidence.ends(metric.kept)
    return [(None, None) if one is None else (math.exp(one[0]), math.exp(one[1])) for one in found]


def _rate_band(kept: NDArray[np.bool_], n: int, rules: MetricRules) -> tuple[float | None, float | None]:
    found = evidence.rate_ends(kept) if n and series.has_rates(rules) else None
    return found or (None, None)


def _parts(metric: MetricState, rules: MetricRules, bands: list[_Band]) -> list[PartEvidence]:
    """Each part's own evidence, where there are several: of a class the side that says more."""
    if rules.parts == ("",):
        return []
    each = metric.counts.shape[1] // len(rules.parts)
    counts = metric.counts.sum(axis=0)[::each].tolist()
    logs = [None] * len(counts) if isinstance(rules, Resource) else metric.against.reshape(len(counts), -1).max(axis=1)
    found = []
    for part, (n_c, e_c, n_b, e_b), said, (low, high) in zip(rules.parts, counts, logs, bands[::each], strict=True):
        log_e = None if said is None else float(said)
        found.append(PartEvidence(part, n_c, e_c, n_b, e_b, log_e=log_e, odds_low=low, odds_high=high))
    return found


def _last_step(metric: MetricState, state: State, policy: Policy, *, name: str) -> float:
    """Non-inferiority on the outcomes of the last step alone; 0 while it has none."""
    last = len(state.steps) - 1
    if last < 0 or len(metric.rows) <= last:
        return 0.0
    rules = policy.metrics[name]
    return series.log_e_noninferior(
        series.asked_of(metric.rows, rules)[last], metric.counts[last], policy.margins(name), rules=rules
    ).whole


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
        n_c, e_c, n_b, e_b = (int(value) for value in metric.counts[len(state.steps) - 1, 0])
        excess = (e_c / n_c if n_c else 0.0) - (e_b / n_b if n_b else 0.0)
        worst = max(worst, excess * policy.step_outcomes)
    return worst


def log_e_sample_ratio(state: State, policy: Policy, shares: Mapping[str, Sequence[int]] | None = None) -> float:
    """H0: each arm gets the share that the weight says; factors multiply over the steps (requests only).

    `shares`: requests by weight, [canary, primary], where the state's own are only roughly those of a weight.
    """
    if shares is not None:
        given = ((n_c, n_b, int(weight)) for weight, (n_c, n_b) in shares.items())
        return sum(evidence.log_e_sample_ratio(n_c, n_b, weight / 100) for n_c, n_b, weight in given)
    total = 0.0
    for name, metric in state.metrics.items():
        if policy.metrics[name].kind != "errors":
            continue
        for step, row in zip(state.steps, metric.counts, strict=False):
            if 0 < step < 100:
                total += evidence.log_e_sample_ratio(int(row[0, 0]), int(row[0, 2]), step / 100)
    return total


__all__ = [
    "MetricEvidence",
    "Override",
    "PartEvidence",
    "Verdict",
    "extra_failures",
    "judge",
    "log_e_sample_ratio",
    "odds",
]
