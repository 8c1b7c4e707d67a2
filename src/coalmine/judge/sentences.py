"""Verdicts in words that hold the numbers."""

from __future__ import annotations

import math

from coalmine.judge.fold import State
from coalmine.judge.policy import Against, Mix, Policy, Resource
from coalmine.judge.verdict import MetricEvidence

NOUNS = {"errors": "errors", "latency": "slow seconds", "feedback": "thumbs down"}
_TROUBLE = {"limit": "above its limit", "growth": "growing faster than the primary"}


def why_rollback(state: State, policy: Policy, metrics: tuple[MetricEvidence, ...]) -> str:
    named = sorted((m for m in metrics if m.share >= 0.1), key=lambda m: -m.share)
    if state.latched_in_bake:
        return "after the promotion: " + "; ".join(_baked(m, policy) for m in named)
    texts = [_compare(m, policy) for m in named]
    if len(named) > 1:
        texts = [f"{text} ({m.share:.0%} of the evidence)" for text, m in zip(texts, named, strict=True)]
    return "; ".join(texts)


def _compare(metric: MetricEvidence, policy: Policy) -> str:
    rules = policy.metrics[metric.name]
    certain = f"with odds {odds(metric.log_e_rollback + metric.log_boost)}"
    if isinstance(rules, Mix):
        worst = max(metric.parts, key=lambda part: part.log_e or 0.0)
        seen = f"{_rate(worst.e_c, worst.n_c)} of the canary, {_rate(worst.e_b, worst.n_b)} of the primary"
        return f"{metric.name}: {worst.part} is {seen}: differs by more than the margin {certain}"
    if isinstance(rules, Resource):
        shown = [f"{_TROUBLE[part.part]} in {_rate(part.e_c, part.n_c)}" for part in metric.parts] or [
            f"{_TROUBLE[rules.parts[0]]} in {_rate(metric.e_c, metric.n_c)}"
        ]
        return f"canary {metric.name} {', '.join(shown)} of the samples: {certain}"
    text = f"canary {_noun(metric)} {_seen(metric, 'c')}, "
    if rules.against is not Against.TOLERATED:
        text += f"primary {_seen(metric, 'b')}: "
    verb = "worse" if rules.against is Against.BASELINE else f"above the tolerated {rules.tolerated_rate:.3g}"
    return f"{text}{verb} {certain}"


def _seen(metric: MetricEvidence, arm: str) -> str:
    n, bad, rate = (metric.n_c, metric.e_c, metric.rate_c) if arm == "c" else (metric.n_b, metric.e_b, metric.rate_b)
    if rate is None:
        return "not seen"
    if metric.kind == "counts":
        return f"{rate:.3g} a unit ({bad:,} in {n:,})"
    return f"{rate:.3g} of {n:,} (0 best, 1 worst)" if metric.kind == "score" else _rate(bad, n)


def _baked(metric: MetricEvidence, policy: Policy) -> str:
    limit = policy.metrics[metric.name].tolerated_rate or 0.0
    seen = _rate(metric.baked_e, metric.baked_n)
    return f"{_noun(metric)} {seen}: above the tolerated {limit * 100:.3g} % with odds {odds(metric.log_e_bake)}"


def why_passes(metric: MetricEvidence) -> str:
    primary = f", primary {_seen(metric, 'b')}" if metric.n_b else ""
    seen = f"canary {_noun(metric)} {_seen(metric, 'c')}{primary}"
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
