"""Ranks are valid p-values, bets are fair, and the alarm comes for nothing at most as often as was asked."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta

from coalmine.drift import calibrate, watch
from coalmine.drift.calibrate import Evidence
from coalmine.drift.signals import Kind
from coalmine.drift.watch import Plan


@given(st.floats(1e-6, 1.0))
def test_a_bet_is_the_integral_that_it_is_said_to_be(p: float) -> None:
    """Also near 1, where numerator and denominator vanish together."""
    wanted, _ = quad(lambda k: k * p ** (k - 1), 0, 1)
    assert calibrate.calibrator(p) == pytest.approx(wanted, rel=1e-4)


def test_bets_on_ranks_are_fair_or_worse() -> None:
    """Their mean over 1/n, 2/n, ... n/n is at most 1: what a rank's p-value is if nothing has changed."""
    for n in (2, 20, 250, 5000):
        assert 0.5 < np.mean([calibrate.calibrator(place / n) for place in range(1, n + 1)]) <= 1.0


@pytest.mark.parametrize("p", [0.0, -0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="p-value"):
        calibrate.calibrator(p)


@given(st.lists(st.floats(0.001, 1), max_size=12))
def test_the_evidence_is_the_mixture_over_starts(ps: list[float]) -> None:
    """Written out: a start at s has weight 1/(s(s+1)) and has bet on all windows since; later starts keep theirs."""
    found = Evidence()
    for p in ps:
        found = found.bet(p)
    bets = [calibrate.calibrator(p) for p in ps]
    begun = sum(math.prod(bets[s - 1 :]) / (s * (s + 1)) for s in range(1, len(ps) + 1))
    assert found.e == pytest.approx(begun + 1 / (len(ps) + 1))


def test_the_weights_of_all_starts_are_one() -> None:
    spent = sum(Fraction(1, s * (s + 1)) for s in range(1, 100))
    assert spent + Fraction(1, 100) == 1


def test_a_late_change_does_not_win_back_what_was_lost_before() -> None:
    """After 200 dull windows, eight surprising ones reach an alarm; a single product would stand below 1."""
    evidence, single = Evidence(), 1.0
    for p in [0.5] * 200 + [0.004] * 8:
        evidence, single = evidence.bet(p), single * calibrate.calibrator(p)
    assert evidence.e > 1000
    assert single < 1e-3


def test_ranks_are_uniform_ties_included() -> None:
    """20,000 ranks among 20, of distances with many ties."""
    rng = np.random.default_rng(5)
    found = [calibrate.rank(rng.integers(0, 4, 20).astype(float), rng=rng) for _ in range(20_000)]
    counts = np.bincount([round(p * 20) for p in found], minlength=21)[1:]
    assert abs(counts - 1000).max() < 5 * math.sqrt(1000)


def test_parts_hold_each_row_once_and_the_window_is_first() -> None:
    parts = calibrate.draw_parts(30, window=7, count=50, rng=np.random.default_rng(1))
    assert parts[0].tolist() == list(range(23, 30))
    assert all(len(set(part)) == 7 for part in parts.tolist())
    assert parts.shape == (51, 7)


def test_false_alarms_are_as_rare_as_asked() -> None:
    """400 streams of 20 looks without any change: the upper 99 % bound of Clopper and Pearson is within the rate."""
    plan, streams, alarms = Plan(alpha=0.2, window=10, parts=39), 400, 0
    rng = np.random.default_rng(11)
    limit = calibrate.threshold(plan.alpha, signals=1)
    for number in range(streams):
        values = rng.gamma(2.0, size=40 + 200)
        own = Plan(alpha=0.2, window=10, parts=39, seed=number)
        series = watch.begin({"x": (Kind.NUMERIC, values[:40])}, own)
        alarms += watch.look(series, {"x": (Kind.NUMERIC, values[40:])}, own, limit=limit)["x"].alarm_at > 0
    assert float(beta.ppf(0.99, alarms + 1, streams - alarms)) <= plan.alpha, alarms


def test_the_simulation_can_fail() -> None:
    """A p-value that is not valid (the folklore: each window against a fixed threshold) alarms far more often."""
    rng = np.random.default_rng(12)
    wrong = sum(any(rng.random() < 0.05 for _ in range(20)) for _ in range(500))
    assert wrong / 500 > 0.5


def test_evidence_only_grows_by_surprise() -> None:
    bets = [calibrate.calibrator(p) for p in (0.001, 0.01, 0.1, 0.5, 1.0)]
    assert all(first > second for first, second in pairwise(bets))
