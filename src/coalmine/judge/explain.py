"""Why a policy can never promote, or never roll back, with the numbers and what to change.

Expected values, no simulation: a healthy release's evidence is that of its expected counts, a bad one's that of a
canary that fails every request. With luck a release may pass where a sentence here says that it will not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc

from coalmine.judge import evidence
from coalmine.judge.backtest.flagger import Flagger
from coalmine.judge.policy import Against, Errors, Margins, MetricRules, Policy, Role
from coalmine.judge.simulate import Ramp

_LONGEST = 1e8  # seconds: beyond that, "never"
_MOST = 1000  # canary requests that all fail decide anything, so more need not be summed


@dataclass(frozen=True, slots=True)
class Finding:
    """`id` for machines; the sentence holds the numbers, the remedy what to change."""

    id: str
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class _Exposed:
    """Expected requests at one weight."""

    weight: int
    n_c: float
    n_b: float


def impossible(
    policy: Policy,
    *,
    rps: float | None = None,
    ramp: Ramp | None = None,
    error_rate: float | None = None,
    votes: float | None = None,
    held: Collection[str] | None = None,
    flagger: Flagger | None = None,
) -> list[Finding]:
    """What stands in the way, as far as the given facts can tell: `rps` and `votes` a second over both arms, the
    primary's `error_rate` (None: not known, then none), `held`: the metrics that anything was recorded of.
    """
    found = list(_of_data(policy, votes=votes, held=held)) + list(_of_bake(policy))
    if ramp is not None:
        found += _of_minimum(policy, ramp)
    if rps is not None and ramp is not None:
        found += _of_steps(policy, ramp, rps)
        for name, rules in policy.metrics.items():
            if isinstance(rules, Errors) and rules.role is not Role.OBSERVE:
                found += _of_rollback(policy, name, ramp, rps=rps, error_rate=error_rate or 0.0)
                found += _of_promotion(policy, name, ramp, rps=rps, error_rate=error_rate or 0.0)
    return found if flagger is None else found + of_flagger(flagger)


# ---- without any traffic in mind --------------------------------------------------------------------------------


def _of_data(policy: Policy, *, votes: float | None, held: Collection[str] | None) -> Iterator[Finding]:
    for name, rules in policy.metrics.items():
        if rules.role is not Role.GUARDRAIL:
            continue
        silent = held is not None and name not in held
        if rules.kind == "feedback" and (silent or votes == 0):
            yield Finding(
                "feedback-without-votes",
                f"{name} is a guardrail and there is no vote: live, a release waits for votes until maximum_seconds "
                f"({policy.maximum_seconds:g} s) and is never promoted",
                f"`metrics: {{{name}: {{role: rollback}}}}`, or collect votes",
            )
        elif silent:
            yield Finding(
                "guardrail-without-data",
                f"{name} is a guardrail of which nothing is on record: here it was left out, live a release waits for "
                f"it until maximum_seconds ({policy.maximum_seconds:g} s) and is never promoted",
                f"record it, or `metrics: {{{name}: {{role: rollback}}}}`, or `{name}: null`",
            )


def _of_bake(policy: Policy) -> Iterator[Finding]:
    active = [rules for rules in policy.metrics.values() if rules.role is not Role.OBSERVE]
    if policy.bake.seconds and all(rules.tolerated_rate is None for rules in active):
        yield Finding(
            "bake-without-tolerated-rate",
            f"nothing can roll back within the bake time of {policy.bake.seconds:g} s: there is no second arm to"
            " compare with then, and no metric has a tolerated_rate",
            "give one metric a tolerated_rate, or `bake: {seconds: 0}`",
        )


def _of_minimum(policy: Policy, ramp: Ramp) -> Iterator[Finding]:
    seconds = len(ramp.weights) * ramp.interval_seconds
    if policy.minimum_seconds > seconds:
        yield Finding(
            "minimum-above-ramp",
            f"the ramp takes {seconds:g} s and nothing is promoted before minimum_seconds = {policy.minimum_seconds:g}:"
            f" a release stays at {ramp.weights[-1]} % for {policy.minimum_seconds - seconds:g} s whatever it shows",
            f"minimum_seconds: {seconds:g}, or a longer ramp",
        )


# ---- at a level of traffic --------------------------------------------------------------------------------------


def _of_steps(policy: Policy, ramp: Ramp, rps: float) -> Iterator[Finding]:
    lasts = [_step_seconds(policy, ramp, weight, rps=rps) for weight in ramp.weights]
    if sum(lasts) <= policy.maximum_seconds:
        return
    slowest = lasts.index(max(lasts))
    yield Finding(
        "ramp-too-slow",
        f"each step waits for step_outcomes = {policy.step_outcomes} canary requests: at {rps:.3g} requests/s that "
        f"takes {lasts[slowest]:.0f} s at {ramp.weights[slowest]} % and {sum(lasts):.0f} s for the whole ramp, but "
        f"after maximum_seconds = {policy.maximum_seconds:g} a release is inconclusive",
        f"maximum_seconds: {math.ceil(1.5 * sum(lasts))}, fewer step_outcomes, or larger first weights",
    )


def _step_seconds(policy: Policy, ramp: Ramp, weight: int, *, rps: float) -> float:
    """Whole intervals until a step is earned."""
    needed = policy.step_outcomes / (rps * weight / 100.0)
    return max(1, math.ceil(needed / ramp.interval_seconds - 1e-9)) * ramp.interval_seconds


def _exposed(policy: Policy, ramp: Ramp, rps: float, *, seconds: float) -> list[_Exposed]:
    """Expected requests within `seconds` of the first one, step by step; the last step lasts on."""
    found, left = [], seconds
    for place, weight in enumerate(ramp.weights):
        last = place == len(ramp.weights) - 1
        lasts = left if last else min(left, _step_seconds(policy, ramp, weight, rps=rps))
        found.append(_Exposed(weight, rps * lasts * weight / 100.0, rps * lasts * (100 - weight) / 100.0))
        left -= lasts
    return [one for one in found if one.n_c > 0]


def _of_rollback(policy: Policy, name: str, ramp: Ramp, *, rps: float, error_rate: float) -> Iterator[Finding]:
    """Even where every request of the canary fails; the next step would then cost too much, so the first one lasts."""
    held = policy.step_outcomes * (1.0 - error_rate) > policy.step_extra_failures
    first = Ramp(ramp.weights[:1], ramp.interval_seconds) if held else ramp
    exposed = _exposed(policy, first, rps, seconds=policy.maximum_seconds)
    share = policy.weights()[name]
    needed = math.log((1.0 / policy.alpha - (1.0 - share)) / share)
    reached = _worst(policy, name, exposed, error_rate=error_rate)
    if reached >= needed:
        return
    n_c = sum(one.n_c for one in exposed)
    yield Finding(
        "never-rolls-back",
        f"{name} has {share:.2g} of the weight and needs an e-value of {math.exp(needed):,.0f} to roll back alone; a "
        f"canary that fails all of its {n_c:.0f} requests within {policy.maximum_seconds:g} s reaches "
        f"{math.exp(reached):,.2g}",
        f"a larger weight for {name}, larger first weights of the ramp, or a longer maximum_seconds",
    )


def _worst(policy: Policy, name: str, exposed: list[_Exposed], *, error_rate: float) -> float:
    margins, rules = policy.margins(name), policy.metrics[name]
    prior = evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote, margins.faults)
    rows, n = [], 0
    for one in exposed:
        n_c = min(math.floor(one.n_c), _MOST)
        n_b = round(n_c * one.n_b / one.n_c)
        rows.append(evidence.fnch_log_pmf((n_c, n_c, n_b, round(n_b * error_rate)), prior.points))
        n += n_c
    since = evidence.since_step(np.asarray(rows).reshape(len(rows), evidence.POINTS))
    found = []
    if rules.against is not Against.TOLERATED:
        found.append(float(evidence.log_e_restarted(evidence.log_e_rollback(since, prior))))
    if rules.against is not Against.BASELINE and margins.tolerated_rate is not None:
        found.append(float(evidence.log_e_intolerable(n, n, margins.tolerated_rate)))
    return min(found)


def _of_promotion(policy: Policy, name: str, ramp: Ramp, *, rps: float, error_rate: float) -> Iterator[Finding]:
    """A release that is as good as the primary."""
    rules, margins = policy.metrics[name], policy.margins(name)
    exposed = _exposed(policy, ramp, rps, seconds=policy.maximum_seconds)
    if rules.role is not Role.GUARDRAIL or _passes(exposed, margins, rules, error_rate=error_rate):
        return
    n_c = sum(one.n_c for one in exposed)
    seconds = _seconds_needed(policy, ramp, margins, rps=rps, rules=rules, error_rate=error_rate)
    have = f"{n_c:,.0f} canary requests within maximum_seconds = {policy.maximum_seconds:g} at {rps:.3g} requests/s"
    if seconds is None:
        need, longer = "no number of them is enough", ""
    else:
        more = sum(one.n_c for one in _exposed(policy, ramp, rps, seconds=seconds))
        need, longer = f"some {more:,.0f} are needed", f"maximum_seconds: {math.ceil(1.5 * seconds)}, or "
    yield _why(name, policy, margins, have=have, need=need, longer=longer, error_rate=error_rate)


def _why(
    name: str, policy: Policy, margins: Margins, *, have: str, need: str, longer: str, error_rate: float
) -> Finding:
    rate, odds = margins.tolerated_rate, 1.0 / policy.beta
    if rate is not None and error_rate < rate:
        return Finding(
            "too-few-requests",
            f"{name}: {have}; to show that {100 * error_rate:.3g} % failures are below the tolerated {100 * rate:g} %"
            f" with odds {odds:.0f}:1, {need}",
            f"{longer}a higher tolerated_rate, or larger weights",
        )
    if margins.odds_ratio_promote < 2.0:
        return Finding(
            "margin-near-1",
            f"{name}: {have}; to show an odds ratio below {margins.odds_ratio_promote:g} at {100 * error_rate:.3g} % "
            f"failures with odds {odds:.0f}:1, {need}",
            f"{longer}odds_ratio_promote: 2",
        )
    if rate is not None:
        return Finding(
            "primary-above-tolerated",
            f"{name}: the primary itself fails {100 * error_rate:.3g} %, above the tolerated {100 * rate:g} %, so only "
            f"the comparison can promote: {have}, and {need}",
            f"{longer}a tolerated_rate above {100 * error_rate:.3g} %",
        )
    return Finding(
        "too-few-to-compare",
        f"{name}: without a tolerated_rate only the comparison can promote: {have}; at {100 * error_rate:.3g} % "
        f"failures {need}",
        f"{longer}a tolerated_rate",
    )


def _seconds_needed(
    policy: Policy, ramp: Ramp, margins: Margins, *, rps: float, rules: MetricRules, error_rate: float
) -> float | None:
    """To within 0.5 %; None where no time is enough."""
    high = policy.maximum_seconds
    while not _passes(_exposed(policy, ramp, rps, seconds=high), margins, rules, error_rate=error_rate):
        high *= 2.0
        if high > _LONGEST:
            return None
    low = high / 2.0
    while high - low > 0.005 * high:
        middle = (low + high) / 2.0
        passes = _passes(_exposed(policy, ramp, rps, seconds=middle), margins, rules, error_rate=error_rate)
        low, high = (low, middle) if passes else (middle, high)
    return high


def _passes(exposed: list[_Exposed], margins: Margins, rules: MetricRules, *, error_rate: float) -> bool:
    """On expected counts: given the m failures of a step, the canary's are binomial with odds psi w/(1-w), and
    n p (1-p) instead of n p of them inform where failures are not rare.
    """
    prior = evidence.priors(margins.odds_ratio_rollback, margins.odds_ratio_promote, margins.faults)
    likelihood = np.zeros(evidence.POINTS)
    for one in exposed:
        informing, share = (one.n_c + one.n_b) * error_rate * (1.0 - error_rate), one.weight / 100.0
        tilt = np.log1p(share * np.expm1(prior.points))
        likelihood += informing * (share * prior.points - tilt)
    ratio = float(evidence.log_e_promote(likelihood, prior))
    n = sum(one.n_c for one in exposed)
    own = None
    if margins.tolerated_rate is not None:
        own = float(evidence.log_e_tolerated(math.floor(n), round(n * error_rate), margins.tolerated_rate))
    alone = rules.against is Against.TOLERATED and own is not None
    found = own if alone and own is not None else float(evidence.log_e_noninferior(ratio, own))
    return found >= -math.log(margins.beta)


# ---- Flagger by itself ------------------------------------------------------------------------------------------


def of_flagger(rules: Flagger) -> list[Finding]:
    """What a Canary's own thresholds can never do: the first that holds."""
    steps, name = len(rules.weights), rules.name
    if not rules.weights:
        said = f"Canary {name} has no stepWeight or stepWeights (or mirrors): Flagger never gives it traffic"
        return [Finding("flagger-never-advances", said, "analysis: {stepWeights: [5, 10, 25, 50]}")]
    if not rules.checks:
        said = (
            f"no metric of Canary {name} is about failed requests: Flagger's own counting promotes any release after "
            f"{rules.seconds_to_promote:g} s, unless a webhook holds it"
        )
        return [Finding("flagger-without-checks", said, "add request-success-rate, or let the judge's hooks decide")]
    if rules.threshold <= steps:
        return []
    half = float(bdtrc(steps - 1, steps + rules.threshold - 1, 0.5))
    said = (
        f"Canary {name} is promoted after {steps} passed checks ({rules.seconds_to_promote:g} s) and rolled back after "
        f"{rules.threshold} failed ones ({rules.seconds_to_roll_back:g} s): a release that fails half of its checks is "
        f"promoted in {100 * half:.0f} % of all cases"
    )
    return [Finding("flagger-promotes-first", said, f"threshold: {max(1, steps // 2)}")]
