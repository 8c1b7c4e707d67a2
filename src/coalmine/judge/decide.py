"""From a state to a verdict: pure, the moment is an argument. Rows of the truth table, the first that holds:

the evidence to roll back was reached at any poll          -> ROLLBACK (latched)
a person said so                                           -> ROLLBACK, CONTINUE (hold) or PROMOTE (approve)
every guardrail passes, on all polls and on the last step,
  the data are fresh and the minimum duration has passed   -> PROMOTE
the maximum duration has passed                            -> INCONCLUSIVE, or what the policy makes of it
otherwise, no data included                                -> CONTINUE
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from coalmine.judge import evidence, sentences, series
from coalmine.judge.evidence import scores
from coalmine.judge.fold import MetricState, State, fresh_metric, log_e_mean, log_shares
from coalmine.judge.policy import MetricRules, Policy, Resource, Role, Score
from coalmine.judge.sentences import odds
from coalmine.judge.verdict import MetricEvidence, Override, PartEvidence, Verdict
from coalmine.records import Decision

_Band = tuple[float | None, float | None]
_NO_BAND: _Band = (None, None)


def judge(state: State, policy: Policy, now: float, *, opened: float, override: Override | None = None) -> Verdict:
    """The verdict at `now` on an analysis that was opened at `opened` (Unix seconds)."""
    baked = state.latched_in_bake or any(metric.baked[0] for metric in state.metrics.values())
    shares = _shares(state, policy, baked=baked)
    metrics = tuple(_evidence(state, policy, shares=shares))
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


def _evidence(state: State, policy: Policy, *, shares: Mapping[str, float]) -> Iterable[MetricEvidence]:
    """Of all metrics of the policy, in its order; what can be asked of all of them at once is."""
    metrics = {name: state.metrics.get(name) or fresh_metric(name, policy) for name in policy.metrics}
    stretches = {name: _stretches(metric, policy.metrics[name], state) for name, metric in metrics.items()}
    holds = series.noninferior(stretches, policy)
    odds_bands, rate_bands = _bands(list(metrics.values()))
    for number, (name, metric) in enumerate(metrics.items()):
        rules = policy.metrics[name]
        yield _told(
            name, metric, policy, share=shares.get(name, 0.0), holds=holds[name],
            bands=odds_bands[number] if series.has_odds(rules) else [_NO_BAND] * len(metric.kept),
            rates=rate_bands[number] if series.has_rates(rules) else [_NO_BAND] * 2,
        )  # fmt: skip


def _told(
    name: str, metric: MetricState, policy: Policy, *, share: float, holds: Sequence[series.NonInferior],
    bands: list[_Band], rates: list[_Band],
) -> MetricEvidence:  # fmt: skip
    """One metric, from what it `holds` (over all steps, in the last step) and the bands of its series and rates."""
    whole, last = holds
    margins, rules = policy.margins(name), policy.metrics[name]
    n_c, e_c, n_b, e_b = metric.totals
    unit = scores.UNIT if isinstance(rules, Score) else 1
    rate_c, rate_b = (band if n else _NO_BAND for band, n in zip(rates, (n_c, n_b), strict=True))
    apart = scores.difference_band(metric.rows[:, 0].sum(axis=0), margins.alpha) if isinstance(rules, Score) else None
    return MetricEvidence(
        name=name, kind=rules.kind, role=str(rules.role), n_c=n_c, e_c=e_c, n_b=n_b, e_b=e_b,
        rate_c=e_c / n_c / unit if n_c else None, rate_b=e_b / n_b / unit if n_b else None,
        rate_c_low=rate_c[0], rate_c_high=rate_c[1], rate_b_low=rate_b[0], rate_b_high=rate_b[1],
        log_e_rollback=metric.log_e, log_boost=metric.log_boost, share=share,
        log_e_promote=whole.promote, log_e_tolerated=whole.tolerated, log_e_noninferior=whole.whole,
        log_e_last_step=last.whole, odds_low=bands[0][0], odds_high=bands[0][1],
        difference_low=apart[0] if apart else None, difference_high=apart[1] if apart else None,
        changed=not metric.kept[0].any(), passes=whole.whole >= -math.log(policy.beta), polls=metric.polls, t=metric.t,
        baked_n=metric.baked[0], baked_e=metric.baked[1], log_e_bake=metric.log_e_bake,
        parts=tuple(_parts(metric, rules, bands)),
    )  # fmt: skip


def _stretches(metric: MetricState, rules: MetricRules, state: State) -> series.Stretches:
    """All steps, and the last step alone: empty while the metric has nothing of it."""
    asked = series.asked_of(metric.rows, rules)
    reached = 0 < len(asked) == len(state.steps)
    rows, counts = (
        np.array([array.sum(axis=0), array[-1] if reached else np.zeros_like(array[:0].sum(axis=0))])
        for array in (asked, metric.counts)
    )
    return series.Stretches(rows, counts)


def _bands(metrics: Sequence[MetricState]) -> tuple[list[list[_Band]], list[list[_Band]]]:
    """The confidence sequences of each metric's odds ratios, and of its two rates."""
    kept = np.concatenate([metric.kept for metric in metrics])
    found = [_NO_BAND if one is None else (math.exp(one[0]), math.exp(one[1])) for one in evidence.ends(kept)]
    rates = [one or _NO_BAND for one in evidence.rate_ends(np.concatenate([m.kept_rates for m in metrics]))]
    ends = itertools.accumulate(len(metric.kept) for metric in metrics)
    every = [found[end - len(metric.kept) : end] for metric, end in zip(metrics, ends, strict=True)]
    return every, [rates[number : number + 2] for number in range(0, len(rates), 2)]


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
