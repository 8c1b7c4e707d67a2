"""The engine against reference values, against SciPy, against mpmath, and against its own promises by enumeration."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nchypergeom_fisher

from coalmine.judge import evidence
from coalmine.judge.backtest import check

GOLDEN = Path(__file__).parent / "golden.json"
PRIOR = evidence.priors(1.0, 2.0)


def test_the_reference_values_are_met() -> None:
    assert check(GOLDEN) < 1e-6


@pytest.mark.parametrize("poll", [(10, 3, 90, 1), (60, 1, 540, 3), (300, 15, 2700, 14), (50, 20, 30, 25), (7, 0, 9, 4)])
def test_the_law_is_scipys_to_ten_digits(poll: tuple[int, int, int, int]) -> None:
    n_c, e_c, n_b, e_b = poll
    ln_psi = np.linspace(-3, 3, 13)
    law = [nchypergeom_fisher.logpmf(e_c, n_c + n_b, n_c, e_c + e_b, math.exp(x)) for x in ln_psi]
    assert np.abs(evidence.fnch_log_pmf(poll, ln_psi) - law).max() < 1e-10


@pytest.mark.parametrize(
    "poll", [(2000, 1000, 3000, 700), (400, 200, 500, 150), (250, 245, 20000, 300), (900, 1, 900, 899)]
)
def test_a_long_support_summed_in_windows_is_the_exact_sum(poll: tuple[int, int, int, int]) -> None:
    n_c, e_c, n_b, e_b = poll
    m = e_c + e_b
    support = range(max(0, m - n_b), min(m, n_c) + 1)
    coefficients = [math.comb(n_c, j) * math.comb(n_b, m - j) for j in support]
    for x in (-8.0, -2.5, 0.0, 0.7, 8.0):
        with mpmath.workdps(40):
            psi = mpmath.e ** mpmath.mpf(x)
            total = mpmath.fsum(c * psi**j for c, j in zip(coefficients, support, strict=True))
            exact = mpmath.log(coefficients[e_c - support[0]] * psi**e_c / total)
        assert evidence.fnch_log_pmf(poll, np.asarray([x]))[0] == pytest.approx(float(exact), rel=1e-11, abs=1e-9)


def test_ten_thousand_failures_in_one_poll_are_summed_in_windows_of_their_support() -> None:
    """The whole support at every point would be 33 MB; how long it takes is in tests/bench/judge."""
    tracemalloc.start()
    try:
        values = evidence.fnch_log_pmf((20_000, 10_000, 20_000, 3_000), PRIOR.points)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6e6
    assert np.isfinite(values).all()


@given(n_c=st.integers(1, 12), n_b=st.integers(1, 12), m=st.integers(0, 24), ratio=st.sampled_from([1.0, 1.25, 2.0]))
def test_evidence_expects_exactly_one_under_its_null(n_c: int, n_b: int, m: int, ratio: float) -> None:
    """Enumerated over every outcome of a poll at psi0, and at psiM for the promotion."""
    m = min(m, n_c + n_b)
    prior = evidence.priors(ratio, 2.5)
    polls = [(n_c, k, n_b, m - k) for k in range(max(0, m - n_b), min(m, n_c) + 1)]
    laws = np.asarray([evidence.fnch_log_pmf(poll, prior.points) for poll in polls])
    rollback = float(np.exp(laws[:, -2] + evidence.log_e_rollback(laws, prior)).sum())
    promote = float(np.exp(laws[:, -1] + evidence.log_e_promote(laws, prior)).sum())
    assert rollback == pytest.approx(1.0, abs=1e-12)
    assert promote == pytest.approx(1.0, abs=1e-12)


@given(psi=st.floats(0.05, 1.0), n_c=st.integers(1, 10), n_b=st.integers(1, 10), m=st.integers(1, 20))
def test_below_the_margin_the_expectation_is_at_most_one(psi: float, n_c: int, n_b: int, m: int) -> None:
    m = min(m, n_c + n_b)
    polls = [(n_c, k, n_b, m - k) for k in range(max(0, m - n_b), min(m, n_c) + 1)]
    laws = np.asarray([evidence.fnch_log_pmf(poll, PRIOR.points) for poll in polls])
    truth = np.asarray([evidence.fnch_log_pmf(poll, np.asarray([math.log(psi)]))[0] for poll in polls])
    assert np.exp(truth + evidence.log_e_rollback(laws, PRIOR)).sum() <= 1 + 1e-12


@pytest.mark.parametrize(("p_ok", "n"), [(0.01, 60), (0.2, 25), (0.5, 8)])
def test_a_tolerated_rate_expects_exactly_one_at_the_rate_on_both_sides(p_ok: float, n: int) -> None:
    law = [math.comb(n, e) * p_ok**e * (1 - p_ok) ** (n - e) for e in range(n + 1)]
    below = sum(p * math.exp(evidence.log_e_tolerated(n, e, p_ok)) for e, p in enumerate(law))
    above = sum(p * math.exp(evidence.log_e_intolerable(n, e, p_ok)) for e, p in enumerate(law))
    assert below == pytest.approx(1.0, abs=1e-9)
    assert above == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("n", "e"), [(0, 0), (100, 100), (5000, 4000), (100_000, 20), (40, 3)])
def test_the_tolerated_rate_is_the_integral_it_claims_to_be(n: int, e: int) -> None:
    """mpmath integrates both cut priors by quadrature, in 30 digits, also where floats underflow."""
    p_ok, peak = 0.01, max(e / n if n else 0.01, 1e-6)
    with mpmath.workdps(30):

        def part(a: float, b: float, low: float, high: float) -> mpmath.mpf:
            knots = sorted({low, *(min(max(peak * x, low), high) for x in (0.5, 0.9, 0.99, 1, 1.01, 1.1, 2)), high})
            mass = mpmath.quad(lambda p: p ** (a - 1) * (1 - p) ** (b - 1), [low, (low + high) / 2, high])
            reference = mpmath.log(p_ok) * e + mpmath.log(1 - p_ok) * (n - e)
            value = mpmath.quad(
                lambda p: mpmath.exp(mpmath.log(p) * (e + a - 1) + mpmath.log(1 - p) * (n - e + b - 1) - reference),
                knots,
            )
            return value / mass

        below = mpmath.log(part(0.5, 50, 0, p_ok))
        above = mpmath.log((part(0.5, 50, p_ok, 1) + part(0.5, 0.5, p_ok, 1)) / 2)
    assert evidence.log_e_tolerated(n, e, p_ok) == pytest.approx(float(below), abs=1e-6, rel=1e-8)
    assert evidence.log_e_intolerable(n, e, p_ok) == pytest.approx(float(above), abs=1e-6, rel=1e-8)


def test_441_clean_requests_promote_at_one_percent() -> None:
    def evidence_of(n: int) -> float:
        return evidence.log_e_noninferior(0.0, float(evidence.log_e_tolerated(n, 0, 0.01)))

    assert evidence_of(440) < math.log(20) <= evidence_of(441)


def test_the_restart_mix_is_an_average_of_e_values() -> None:
    assert evidence.log_e_restarted(np.zeros(0)) == 0.0
    assert evidence.log_e_restarted(np.zeros(7)) == pytest.approx(0.0, abs=1e-12)
    mixed = evidence.log_e_restarted(np.log([4.0, 10.0]))
    assert math.exp(mixed) == pytest.approx(4 / 2 + 10 / 6 + 1 / 3)


def test_a_sample_ratio_of_twelve_for_ten_percent_alarms_and_ten_does_not() -> None:
    rng = np.random.default_rng(7)
    wrong = right = 0.0
    for _ in range(40):
        right += evidence.log_e_sample_ratio(k := int(rng.binomial(400, 0.1)), 400 - k, 0.1) > math.log(100)
        wrong += evidence.log_e_sample_ratio(k := int(rng.binomial(20_000, 0.12)), 20_000 - k, 0.1) > math.log(100)
    assert right == 0
    assert wrong == 40
