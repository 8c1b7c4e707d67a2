"""Each sentence on what can never happen is shown to be true, and is not said where the thing does happen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coalmine.judge import decide
from coalmine.judge.backtest import Recording, replay
from coalmine.judge.explain import Finding, impossible, of_flagger
from coalmine.judge.fold import BAKED, fold_all
from coalmine.judge.plan import flagger_rollouts
from coalmine.judge.policy import Policy, load_policy
from coalmine.judge.simulate import Ramp, Runs, Traffic, rollouts
from coalmine.records import Decision, Poll
from unit.judge.recordings import OPENED, rollout, thresholds

RAMP = Ramp((5, 10, 25, 50), 10.0)


def policy(errors: str = "{}", rest: str = "") -> Policy:
    return load_policy(
        f"{rest}\nmetrics: {{errors: {errors}, latency: {{role: observe}}, feedback: {{role: observe}}}}"
    )


def ids(found: list[Finding]) -> set[str]:
    assert all(finding.sentence and finding.remedy for finding in found)
    return {finding.id for finding in found}


def simulated(asked: Policy, rps: float, p_b: float, p_c: float | None = None, *, ramp: Ramp = RAMP) -> Runs:
    return rollouts(asked, ramp, Traffic(rps, p_b, p_b if p_c is None else p_c), runs=60, seed=1)


def share(runs: Runs, decision: Decision) -> float:
    return float(np.mean(runs.decision == decision))


def test_nothing_is_said_of_the_defaults_with_plenty_of_traffic() -> None:
    """And a healthy release is promoted, a broken one rolled back."""
    found = impossible(load_policy(""), rps=20, ramp=RAMP, error_rate=0.005, votes=1.0, held={"errors", "latency"})
    assert found == []
    assert share(simulated(policy(), 20, 0.005), Decision.PROMOTE) > 0.9
    assert share(simulated(policy(), 20, 0.005, 0.2), Decision.ROLLBACK) == 1.0


HURRIED = "step_outcomes: 0\nmaximum_seconds: 120"
# The sentence's id; a policy, requests a second, the primary's rate; what makes the sentence go away.
PROMOTIONS = [
    ("too-few-requests", policy(rest=HURRIED), 5.0, 0.0, (policy(), 5.0)),
    ("primary-above-tolerated", policy(), 1.0, 0.012, (policy("{tolerated_rate: 0.05}"), 2.0)),
    ("margin-near-1", policy("{odds_ratio_promote: 1.26}"), 5.0, 0.02, (policy(), 5.0)),
    ("too-few-to-compare", policy("{tolerated_rate: null}"), 2.0, 0.005, (policy(), 20.0)),
    ("ramp-too-slow", policy("{tolerated_rate: 0.2}", "maximum_seconds: 300"), 2.0, 0.01, (policy(), 20.0)),
]


@pytest.mark.parametrize(("wanted", "asked", "rps", "p_b", "mended"), PROMOTIONS, ids=[row[0] for row in PROMOTIONS])
def test_a_healthy_release_is_not_promoted_where_it_is_said_so(
    wanted: str, asked: Policy, rps: float, p_b: float, mended: tuple[Policy, float]
) -> None:
    """Less than half of them; and most are, where the sentence is gone."""
    assert wanted in ids(impossible(asked, rps=rps, ramp=RAMP, error_rate=p_b))
    assert share(simulated(asked, rps, p_b), Decision.PROMOTE) < 0.5
    better, traffic = mended
    assert impossible(better, rps=traffic, ramp=RAMP, error_rate=p_b) == []
    assert share(simulated(better, traffic, p_b), Decision.PROMOTE) > 0.5


def test_the_number_of_requests_without_a_failure_is_the_one_that_the_engine_needs() -> None:
    """441 at 1 % and beta = .05."""
    (found,) = impossible(policy(rest=HURRIED), rps=5, ramp=RAMP)
    assert "some 44" in found.sentence


def test_more_time_is_a_remedy_that_works() -> None:
    """As many seconds as the remedy says."""
    (found,) = impossible(policy(rest=HURRIED), rps=5, ramp=RAMP)
    mended = policy(rest=f"step_outcomes: 0\nmaximum_seconds: {found.remedy.split()[1].rstrip(',')}")
    assert impossible(mended, rps=5, ramp=RAMP) == []
    assert share(simulated(mended, 5, 0.0), Decision.PROMOTE) == 1.0


def test_a_weight_too_small_for_its_traffic_never_rolls_back() -> None:
    """Not even a canary that fails every request."""
    weak = load_policy("{maximum_seconds: 60, metrics: {errors: {weight: 1.0e-20}}}")
    assert "never-rolls-back" in ids(impossible(weak, rps=2, ramp=RAMP))
    assert share(simulated(weak, 2, 0.005, 1.0), Decision.ROLLBACK) == 0.0
    strong = load_policy("maximum_seconds: 60")
    assert "never-rolls-back" not in ids(impossible(strong, rps=2, ramp=RAMP))
    assert share(simulated(strong, 2, 0.005, 1.0), Decision.ROLLBACK) > 0.9


def test_a_release_waits_for_the_minimum_after_the_ramp() -> None:
    asked = policy(rest="minimum_seconds: 600")
    (found,) = impossible(asked, rps=50, ramp=RAMP, error_rate=0.001)
    assert found.id == "minimum-above-ramp"
    assert "560 s" in found.sentence
    assert simulated(asked, 50, 0.001).t.min() >= 600
    quick = policy(rest="minimum_seconds: 20")
    assert impossible(quick, rps=50, ramp=RAMP, error_rate=0.001) == []
    assert simulated(quick, 50, 0.001).t.min() < 600


def test_a_guardrail_without_data_holds_a_healthy_release_for_ever() -> None:
    """Folded as live: promoted with the latency's polls, not without them."""
    asked = load_policy("metrics: {feedback: {role: observe}}")
    errors = rollout(0.0).polls
    slices = tuple(Poll(poll.t, "latency", 10, 0, 10, 0, 10) for poll in errors)
    assert ids(impossible(asked, held={"errors"})) == {"guardrail-without-data"}
    assert impossible(asked, held={"errors", "latency"}) == []
    for polls, decision in ((errors, Decision.CONTINUE), (errors + slices, Decision.PROMOTE)):
        ordered = sorted(polls, key=lambda poll: poll.t)
        verdict = decide.judge(fold_all(ordered, asked), asked, ordered[-1].t, opened=OPENED)
        assert verdict.decision is decision, verdict.reason


@pytest.mark.parametrize("known", [{"votes": 0.0}, {"held": {"errors", "latency"}}])
def test_a_guardrail_on_votes_without_a_vote_is_told(known: dict[str, object]) -> None:
    asked = load_policy("metrics: {feedback: {role: guardrail}, latency: {role: observe}}")
    assert ids(impossible(asked, **known)) == {"feedback-without-votes"}  # type: ignore[arg-type]  # either of two facts
    errors = rollout(0.0).polls
    verdict = decide.judge(fold_all(errors, asked), asked, errors[-1].t, opened=OPENED)
    assert "data on feedback" in verdict.reason
    assert impossible(load_policy(""), **known) == []  # type: ignore[arg-type]  # as above; there it only rolls back


def test_where_no_guardrail_was_recorded_a_back_test_promotes_nothing() -> None:
    votes = tuple(Poll(OPENED + 10.0 * look, "feedback", 20, 1, 20, 5, 50) for look in range(60))
    found = replay(Recording("votes", votes, OPENED), load_policy(""))
    assert found.verdict.decision == "CONTINUE"
    assert "data on errors" in found.verdict.reason


def test_a_bake_without_a_tolerated_rate_lets_everything_through() -> None:
    """Folded: all requests after the promotion fail, and only the policy with a rate sends the release back."""
    blind = policy("{tolerated_rate: null}")
    baked = [*rollout(0.0).polls, *(Poll(OPENED + 700 + look, "errors", 50, 50, 0, 0, BAKED) for look in range(20))]
    assert ids(impossible(blind)) == {"bake-without-tolerated-rate"}
    assert fold_all(baked, blind).latched is None
    assert impossible(policy()) == []
    assert fold_all(baked, policy()).latched is not None
    assert impossible(policy("{tolerated_rate: null}", "bake: {seconds: 0}")) == []


# ---- Flagger ----------------------------------------------------------------------------------------------------


def test_flagger_with_a_high_threshold_promotes_what_fails_half_of_its_checks() -> None:
    """The share that the sentence names, simulated: a check of ten requests that allows none fails half of the time."""
    patient = thresholds(weights=(10, 20, 30, 50), threshold=30, interval=10.0, low=1.0)
    patient = replace(patient, checks=(replace(patient.checks[0], window=10.0),))
    (found,) = of_flagger(patient)
    assert found.id == "flagger-promotes-first"
    assert "promoted in 100 %" in found.sentence
    half = Traffic(10, 0.005, 1 - 0.5 ** (1 / 30))
    assert share(flagger_rollouts(patient, half, runs=200, seed=1), Decision.PROMOTE) > 0.98
    strict = replace(patient, threshold=2)
    assert of_flagger(strict) == []
    assert share(flagger_rollouts(strict, half, runs=200, seed=1), Decision.PROMOTE) < 0.5


def test_flagger_without_steps_or_checks_is_told() -> None:
    assert ids(of_flagger(thresholds(weights=()))) == {"flagger-never-advances"}
    assert ids(of_flagger(replace(thresholds(), checks=()))) == {"flagger-without-checks"}
    assert ids(impossible(policy(), flagger=thresholds(weights=()))) == {"flagger-never-advances"}
