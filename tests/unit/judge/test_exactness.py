"""What the promise rests on, by full enumeration: under its null a poll's factor has expectation 1, below at most 1."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import nchypergeom_fisher

from coalmine.judge import evidence
from coalmine.judge.evidence import Floats
from coalmine.judge.fold import State, fold_all
from coalmine.judge.policy import load_policy
from coalmine.records import Poll
from unit.judge import slow_laws

ODDS = st.sampled_from([1.0, 1.25, 2.0])
SIZES = st.tuples(st.integers(1, 60), st.integers(1, 200), st.integers(1, 40))
Ints = NDArray[np.int64]


def outcomes(n_c: int, n_b: int, m: int) -> Ints:
    """Every poll with these totals."""
    k = np.arange(max(0, m - n_b), min(m, n_c) + 1)
    return np.stack([np.full(k.size, n_c), k, np.full(k.size, n_b), m - k], axis=1)


def law(polls: Ints, ln_psi: float, kind: str) -> Floats:
    """Probabilities, the binomial's coefficient included."""
    if kind == "units":
        return np.asarray(np.exp(evidence.fnch_log_pmf(polls, np.array([ln_psi]))[:, 0]))
    m = int(polls[0, 1] + polls[0, 3])
    chosen = np.array([math.comb(m, int(k)) for k in polls[:, 1]], dtype=np.float64)
    return np.asarray(chosen * np.exp(evidence.binomial_log_pmf(polls, np.array([ln_psi]))[:, 0]))


def rows(sizes: tuple[int, int, int], kind: str, prior: evidence.Priors) -> tuple[Floats, Ints]:
    """The likelihoods of each outcome that totals of these sizes can have, and the outcomes themselves."""
    n_c, n_b, m = sizes
    if kind == "units":
        polls = outcomes(n_c, n_b, min(m, n_c + n_b))
        return evidence.fnch_log_pmf(polls, prior.points), polls
    k = np.arange(m + 1)
    polls = np.stack([np.full(m + 1, n_c), k, np.full(m + 1, n_b), m - k], axis=1)
    return evidence.binomial_log_pmf(polls, prior.points), polls


@settings(max_examples=150)
@given(
    sizes=SIZES, before=SIZES, psi0=ODDS, kind=st.sampled_from(["units", "events"]), seed=st.integers(0, 10**6),
    faults=st.sampled_from(["any", "plain"]),
)  # fmt: skip
def test_whatever_came_before_a_factor_expects_exactly_one_at_its_null(
    sizes: tuple[int, int, int], before: tuple[int, int, int], psi0: float, kind: str, seed: int, faults: str
) -> None:
    prior = evidence.priors(psi0, 3.0, faults)
    earlier, _ = rows(before, kind, prior)
    state = earlier[seed % len(earlier)]
    found, polls = rows(sizes, kind, prior)
    for low, log_e in ((True, evidence.log_e_rollback), (False, evidence.log_e_promote)):
        null = law(polls, float(prior.points[-2 if low else -1]), kind)
        assert null.sum() == pytest.approx(1.0, abs=1e-12)
        after = np.exp(log_e(state + found, prior) - log_e(state, prior))
        assert float(null @ after) == pytest.approx(1.0, abs=1e-10)


@settings(max_examples=150)
@given(
    sizes=SIZES, psi0=ODDS, share=st.floats(0.0, 1.0), kind=st.sampled_from(["units", "events"]),
    faults=st.sampled_from(["any", "plain"]),
)  # fmt: skip
def test_inside_the_null_it_expects_at_most_one(
    sizes: tuple[int, int, int], psi0: float, share: float, kind: str, faults: str
) -> None:
    prior = evidence.priors(psi0, 3.0, faults)
    found, polls = rows(sizes, kind, prior)
    better = law(polls, math.log(psi0) - 4 * share, kind)
    worse = law(polls, math.log(3.0) + 4 * share, kind)
    assert float(better @ np.exp(evidence.log_e_rollback(found, prior))) <= 1 + 1e-10
    assert float(worse @ np.exp(evidence.log_e_promote(found, prior))) <= 1 + 1e-10


@settings(max_examples=150)
@given(sizes=SIZES, psi0=ODDS, room=st.floats(0.01, 6.0), kind=st.sampled_from(["units", "events"]))
def test_what_is_not_lost_by_overshooting_never_makes_the_stopped_evidence_grow(
    sizes: tuple[int, int, int], psi0: float, room: float, kind: str
) -> None:
    """Stopped at its line, the raised factor expects 1 where it was raised and at most 1 where it was not."""
    prior = evidence.priors(psi0, 3.0)
    found, polls = rows(sizes, kind, prior)
    null, gains = law(polls, math.log(psi0), kind), evidence.log_e_rollback(found, prior)
    raised = evidence.log_boost(np.log(np.maximum(null, 1e-300)), gains, room)
    stopped = float(null @ np.minimum(np.exp(raised + gains), math.exp(room)))
    assert raised >= 0
    assert stopped <= 1 + 1e-9
    if raised > 0:
        assert stopped == pytest.approx(1.0, abs=1e-9)


@given(n_c=st.integers(1, 9), n_b=st.integers(1, 12), m=st.integers(1, 8), share=st.floats(-1.0, 1.0))
def test_a_class_whose_odds_stay_within_the_margin_expects_at_most_one_in_both_directions(
    n_c: int, n_b: int, m: int, share: float
) -> None:
    prior = evidence.priors(2.0, 3.0)
    polls = outcomes(n_c, n_b, min(m, n_c + n_b))
    truth = law(polls, share * math.log(2.0), "units")
    rest = np.stack([polls[:, 0], polls[:, 0] - polls[:, 1], polls[:, 2], polls[:, 2] - polls[:, 3]], axis=1)
    logs = [evidence.log_e_rollback(evidence.fnch_log_pmf(side, prior.points), prior) for side in (polls, rest)]
    assert float(truth @ np.exp(logs).mean(axis=0)) <= 1 + 1e-10


@pytest.mark.parametrize("against", ["baseline", "both"])
@pytest.mark.parametrize("steps", [(0, 0), (10, 10), (10, 20), (20, 10)])
def test_two_polls_through_the_real_fold_expect_one_over_all_outcomes(steps: tuple[int, int], against: str) -> None:
    """Restarts included; the smaller of two e-values expects less."""
    metric = f"{{odds_ratio_rollback: 1, against: {against}, tolerated_rate: 0.2}}"
    policy = load_policy(f"{{alpha: 1.0e-9, metrics: {{errors: {metric}, latency: null, feedback: null}}}}")
    first, second = outcomes(6, 9, 4), outcomes(5, 12, 3)
    chances = [law(polls, 0.0, "units") for polls in (first, second)]
    total = 0.0
    for i, k in product(range(len(first)), range(len(second))):
        looks = zip((10.0, 20.0), (first[i].tolist(), second[k].tolist()), steps, strict=True)
        polls = [Poll(t, "errors", n_c, e_c, n_b, e_b, step) for t, (n_c, e_c, n_b, e_b), step in looks]
        log_e = fold_all(polls, policy, State()).metrics["errors"].log_e
        total += float(chances[0][i] * chances[1][k]) * math.exp(log_e)
    if against == "baseline":
        assert total == pytest.approx(1.0, abs=1e-10)
    else:
        assert total <= 1 + 1e-10


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("n", [1, 40, 400])
def test_the_sample_ratio_expects_exactly_one(n: int, share: float) -> None:
    total = 0.0
    for k in range(n + 1):
        log_p = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        log_p += k * math.log(share) + (n - k) * math.log1p(-share)
        total += math.exp(log_p + evidence.log_e_sample_ratio(k, n - k, share))
    assert total == pytest.approx(1.0, abs=1e-9)


# SciPy's mean ends the process for odds within rounding of one (std::runtime_error in BiasedUrn, SciPy 1.17).
ODDS_FOR_SCIPY = st.just(0.0) | st.floats(1e-6, 4) | st.floats(-4, -1e-6)


@settings(max_examples=200)
@given(
    n_c=st.integers(1, 3000), n_b=st.integers(1, 30_000), m=st.integers(1, 400), at=st.floats(0, 1), g=ODDS_FOR_SCIPY
)
def test_the_law_is_scipys_to_ten_digits_over_a_wide_grid(n_c: int, n_b: int, m: int, at: float, g: float) -> None:
    """Outcomes within six standard deviations; the logarithm too, against exact whole binomials."""
    m = min(m, n_c + n_b)
    low, high = max(0, m - n_b), min(m, n_c)
    theirs = nchypergeom_fisher(n_c + n_b, n_c, m, math.exp(g))
    mean, spread = float(theirs.mean()), float(theirs.std())
    k = int(np.clip(round(mean + (12 * at - 6) * spread), low, high))
    ours = float(evidence.fnch_log_pmf((n_c, k, n_b, m - k), np.array([g]))[0])
    assert ours == pytest.approx(_exact((n_c, k, n_b, m - k), g), abs=1e-10)
    assert math.exp(ours) == pytest.approx(float(theirs.pmf(k)), abs=1e-10)


@given(n_c=st.integers(1, 3000), n_b=st.integers(1, 30_000), m=st.integers(1, 400), g=st.floats(-1e-6, 1e-6))
def test_the_law_holds_where_the_odds_are_one_but_for_rounding(n_c: int, n_b: int, m: int, g: float) -> None:
    m = min(m, n_c + n_b)
    k = max(0, m - n_b)
    ours = float(evidence.fnch_log_pmf((n_c, k, n_b, m - k), np.array([g]))[0])
    assert ours == pytest.approx(_exact((n_c, k, n_b, m - k), g), abs=1e-9)


def _exact(poll: tuple[int, int, int, int], g: float) -> float:
    return float(slow_laws.mp.log(slow_laws.fnch(poll, slow_laws.mp.exp(slow_laws.mp.mpf(g)))))
