"""Seeded streams, `make bench-judge` in short: healthy releases stay, faults are caught, negative controls fail."""

from __future__ import annotations

import numpy as np
import pytest

from bench.judge import delays, errors
from bench.judge.regimes import regimes
from bench.judge.watching import lower, passed, upper, watch, z_test
from coalmine.judge.policy import load_policy


@pytest.mark.parametrize("regime", errors.HEALTHY)
def test_healthy_releases_are_rolled_back_rarely_in_every_regime(regime: str) -> None:
    steps = errors.RAMP if regime.startswith("ramp") else (0,)
    looks = errors.healthy(regime, runs=150, seed=11, requests=4000)
    fired = int(watch(errors.policy(1.0), looks, runs=150, steps=steps).fired.sum())
    assert lower(fired, 150) <= 0.01, "so many that they are shown to be more than one in a hundred"


def test_a_z_test_at_every_look_rolls_back_more_than_a_tenth_of_healthy_releases() -> None:
    """The negative control: the same streams, looked at as often, by a test that is not made for it."""
    assert z_test(errors.healthy("plain", runs=150, seed=11, requests=4000), runs=150).mean() > 0.1


@pytest.mark.parametrize(("p_c", "most"), [(0.02, 1.35), (0.05, 1.5), (0.2, 2.0)])
def test_faults_are_caught_near_the_information_limit(p_c: float, most: float) -> None:
    found = watch(errors.policy(1.0), errors.faulty(p_c, runs=200, seed=12), runs=200)
    assert found.fired.all()
    assert found.canary.mean() < most * errors.LIMITS[p_c]


def test_plain_faults_are_caught_sooner_by_a_policy_that_bets_against_them() -> None:
    """The same streams; the judge that folds and the one that is measured have the same mixture (test_simulate)."""
    plain = errors.policy(1.0, faults="plain")
    means = [
        watch(policy, errors.faulty(0.05, runs=200, seed=12), runs=200).canary.mean()
        for policy in (errors.policy(1.0), plain)
    ]
    assert means[1] < 0.97 * means[0]
    assert load_policy("").margins("errors").faults == "any"


def test_a_release_at_both_margins_is_promoted_more_rarely_than_beta() -> None:
    looks = errors.at_margin(0.01, errors.P_B, runs=100, seed=13, requests=3000)
    assert np.isfinite(passed(errors.policy(1.25), looks, runs=100)).mean() <= 0.05


def test_fewer_thumbs_down_than_the_champion_promote_within_hundreds_of_votes() -> None:
    looks = errors.votes(0.248, 0.324, runs=100, seed=14)
    assert np.nanmedian(passed(errors.policy(1.0, 1.25, None), looks, runs=100)) < 600


@pytest.mark.parametrize(("regime", "weight"), [("load", 10), ("load", 50), ("shared stalls", 30), ("own stalls", 30)])
def test_equal_models_stay_when_latency_is_judged_by_slices(regime: str, weight: int) -> None:
    looks = delays.latency(regime, weight=weight, runs=40, seed=15)
    assert not watch(delays.slices(), looks, runs=40).fired.any()


@pytest.mark.parametrize(("regime", "weight"), [("load", 70), ("own stalls", 50)])
def test_equal_models_are_rolled_back_when_slow_requests_are_counted(regime: str, weight: int) -> None:
    """The negative control of the slices."""
    looks = delays.latency(regime, weight=weight, runs=40, seed=15, by_slice=False)
    assert watch(delays.plain(), looks, runs=40).fired.mean() > 0.1


def test_late_labels_are_no_evidence_by_cell_and_false_evidence_when_pooled_by_arrival() -> None:
    fired = [
        watch(
            delays.labels(), delays.late_labels(runs=40, seed=16, by_cell=by_cell), runs=40, steps=delays.STEPS
        ).fired.mean()
        for by_cell in (True, False)
    ]
    assert fired[0] == 0
    assert fired[1] > 0.3


def test_restarts_find_a_late_fault_sooner() -> None:
    with_, without = (
        watch(
            errors.policy(1.25),
            errors.late(0.02, runs=80, seed=17, restarts=restarts),
            runs=80,
            steps=(5, 10, 25, 50) if restarts else (0,),
        )
        for restarts in (True, False)
    )
    assert np.nanmean(with_.canary) < np.nanmean(without.canary)


def test_a_user_is_one_outcome_where_routing_is_sticky() -> None:
    by_user, by_request = (
        watch(errors.policy(1.25), errors.sticky(runs=60, seed=18, users=users, looks=200), runs=60).fired.sum()
        for users in (True, False)
    )
    assert lower(int(by_user), 60) <= 0.01
    assert lower(int(by_request), 60) > 0.01


def test_the_bench_has_every_regime_and_its_bounds_are_those_of_clopper_and_pearson() -> None:
    assert len(regimes()) > 50
    assert upper(0, 1000) == pytest.approx(1 - 0.01 ** (1 / 1000), rel=1e-9)
    assert lower(1000, 1000) == pytest.approx(0.01 ** (1 / 1000), rel=1e-9)
