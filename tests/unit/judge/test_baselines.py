"""What others would have made of the same requests: Flagger's counting tick by tick, and a z-test asked too often."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from coalmine.errors import BadInput
from coalmine.judge.backtest import Check, Flagger, flagger, load_flagger, z_test
from coalmine.judge.backtest.baselines import Z, z_of
from coalmine.judge.backtest.recorded import Recording
from coalmine.judge.plan import flagger_rollouts
from coalmine.judge.simulate import Traffic
from coalmine.records import Decision
from unit.judge.recordings import CANARY, OPENED, rollout, thresholds


def test_a_canary_that_always_fails_is_rolled_back_one_interval_after_the_last_failed_check() -> None:
    """Failed checks are compared at the start of a tick: (threshold + 1) x interval after exposure."""
    found = flagger(rollout(1.0), thresholds(), metric="errors")
    assert (found.decision, found.t) == ("ROLLBACK", OPENED + 6 * 60)
    assert "5 failed checks" in found.reason


def test_a_canary_that_never_fails_is_promoted_after_one_check_for_each_weight() -> None:
    found = flagger(rollout(0.0), thresholds(), metric="errors")
    assert (found.decision, found.t) == ("PROMOTE", OPENED + 5 * 60)


def test_no_request_within_the_window_is_a_failed_check() -> None:
    silent = rollout(0.0)
    empty = replace(silent, polls=tuple(replace(poll, n_c=0) for poll in silent.polls))
    found = flagger(empty, thresholds(), metric="errors")
    assert found.decision == "ROLLBACK"
    assert "no request within 60 s" in found.reason


def test_failed_checks_add_up_and_a_failed_one_does_not_advance() -> None:
    """Good and bad minutes take turns: 5 passes would promote, but the fifth failure comes first."""
    bad, good = rollout(1.0, looks=120), rollout(0.0, looks=120)
    turns = tuple(b if (n // 6) % 2 == 0 else g for n, (b, g) in enumerate(zip(bad.polls, good.polls, strict=True)))
    found = flagger(Recording("turns", turns, OPENED), thresholds(), metric="errors")
    assert (found.decision, found.t) == ("ROLLBACK", OPENED + 10 * 60)


def test_a_recording_that_ends_early_decides_nothing() -> None:
    found = flagger(rollout(0.0, looks=15), thresholds(), metric="errors")
    assert found.decision == "CONTINUE"
    assert "2 of 5 checks passed" in found.reason


def test_without_a_check_on_requests_it_is_refused() -> None:
    with pytest.raises(BadInput, match="no metric of Canary shop"):
        flagger(rollout(0.0), replace(thresholds(), checks=()), metric="errors")


# ---- reading a Canary -------------------------------------------------------------------------------------------


def canary(folder: Path, *changes: tuple[str, str]) -> Flagger:
    text = CANARY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "canary.yaml").write_text(f"kind: Namespace\n---\n{text}")
    return load_flagger(folder / "canary.yaml")


def test_a_canary_is_read_as_flagger_reads_it(tmp_path: Path) -> None:
    """What counts alone cannot answer is named."""
    found = canary(tmp_path)
    assert found == replace(
        thresholds(), checks=(Check("request-success-rate", 60.0, low=0.99),), ignored=("request-duration",)
    )
    assert found.seconds_to_roll_back == 360
    assert found.seconds_to_promote == 300


@pytest.mark.parametrize(
    ("change", "weights"),
    [
        ("stepWeights: [5, 10, 25]", (5, 10, 25)),
        ("stepWeight: 15\n    maxWeight: 50", (15, 30, 45, 60)),
        ("stepWeight: 60\n    maxWeight: 50", (60,)),
        ("stepWeight: 50", (50, 100)),
        ("mirror: true\n    stepWeight: 10\n    maxWeight: 50", ()),
        ("maxWeight: 50", ()),
    ],
)
def test_the_ramp_is_the_one_that_flagger_walks(tmp_path: Path, change: str, weights: tuple[int, ...]) -> None:
    """Also past maxWeight, where the steps do not meet it, and nowhere at all without steps."""
    assert canary(tmp_path, ("maxWeight: 50\n    stepWeight: 10", change)).weights == weights


def test_flaggers_own_defaults_are_taken(tmp_path: Path) -> None:
    """The interval has a floor, a threshold of 0 is 1, a metric's window is a minute, error-rate is the mirror."""
    found = canary(
        tmp_path,
        ("interval: 1m\n    threshold: 5", "interval: 2s\n    threshold: 0"),
        ("request-success-rate, interval: 1m, thresholdRange: {min: 99}", "error-rate, thresholdRange: {max: 2}"),
    )
    assert (found.interval, found.threshold) == (10.0, 1)
    assert found.checks[0].window == 60.0
    assert found.checks[0].low == pytest.approx(0.98)


@pytest.mark.parametrize(
    ("change", "says"), [(("1m\n", "soon\n"), "no duration"), (("kind: Canary", "kind: Dog"), "0 Canaries")]
)
def test_what_is_no_canary_is_refused(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        canary(tmp_path, change)


# ---- many at once -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "decision", "seconds"), [(1.0, "ROLLBACK", 360.0), (0.0, "PROMOTE", 300.0)])
def test_many_at_once_end_when_one_does(rate: float, decision: str, seconds: float) -> None:
    runs = flagger_rollouts(thresholds(), Traffic(20, 0.005, rate), runs=20, seed=1)
    assert set(runs.decision) == {decision}
    assert set(runs.t) == {seconds}


def test_many_at_once_are_rolled_back_as_often_as_one_by_one() -> None:
    """On a ramp of a single weight, where recorded requests do not depend on what was decided."""
    rules = thresholds(weights=(10,) * 1, threshold=2, interval=10.0, low=0.995)
    one_by_one = [flagger(rollout(0.02, seed=seed, looks=40), rules, metric="errors").decision for seed in range(400)]
    at_once = flagger_rollouts(rules, Traffic(20, 0.005, 0.02), runs=4000, seed=1)
    assert set(one_by_one) == {"ROLLBACK", "PROMOTE"}
    assert np.mean(np.asarray(one_by_one) == "ROLLBACK") == pytest.approx(
        np.mean(at_once.decision == "ROLLBACK"), abs=0.08
    )


def test_the_same_seed_gives_the_same_runs() -> None:
    traffic = Traffic(20, 0.005, 0.01)
    first, again = (flagger_rollouts(thresholds(), traffic, runs=50, seed=3) for _ in range(2))
    assert (first.t == again.t).all()
    assert (first.canary_failures == again.canary_failures).all()


# ---- the z-test -------------------------------------------------------------------------------------------------


@given(st.tuples(*[st.integers(1, 500)] * 2), st.tuples(*[st.floats(0, 1)] * 2))
def test_z_is_defined_for_all_counts_and_points_at_the_worse_arm(
    n: tuple[int, int], share: tuple[float, float]
) -> None:
    e_c, e_b = int(n[0] * share[0]), int(n[1] * share[1])
    z = z_of(n[0], e_c, n[1], e_b)
    assert np.sign(z) in (0, np.sign(e_c * n[1] - e_b * n[0]))


def test_its_line_is_one_percent_of_one_side() -> None:
    assert norm.sf(Z) == pytest.approx(0.01)
    assert z_of(0, 0, 10, 1) == z_of(10, 0, 10, 0) == 0.0
    assert z_of(100, 10, 100, 2) == pytest.approx(0.08 / math.sqrt(0.06 * 0.94 * 0.02))


def test_a_z_test_at_every_look_rolls_back_more_than_a_tenth_of_healthy_releases() -> None:
    """The negative control: a fixed-sample test that is asked again and again."""
    said = [z_test(rollout(0.005, seed=seed, looks=150), metric="errors").decision for seed in range(100)]
    assert said.count(Decision.ROLLBACK) > 10
