"""Seeded streams, a short bench: healthy releases stay, faults are caught, a z-test at each look fails."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from coalmine.judge.fold import State, fold
from coalmine.judge.policy import Policy, load_policy
from coalmine.records import Poll

ERRORS = load_policy("metrics: {errors: {odds_ratio_rollback: 1}, latency: {role: observe}, feedback: {role: observe}}")


def stream(
    rng: np.random.Generator, p_c: float, *, polls: int, p_b: float = 0.005, incident: bool = False, ramp: bool = False
) -> Iterator[Poll]:
    """Ten canary and ninety primary requests a poll; `incident`: both arms fail at 10 % for a while."""
    for i in range(polls):
        shared = 0.1 if incident and 40 <= i < 60 else 0.0
        weight = (10, 20, 30, 50)[min(3, 4 * i // polls)] if ramp else 10
        n_c, n_b = weight, 100 - weight
        e_c, e_b = rng.binomial(n_c, max(p_c, shared)), rng.binomial(n_b, max(p_b, shared))
        yield Poll(1000.0 + 10 * i, "errors", n_c, int(e_c), n_b, int(e_b), weight)


def caught_after(polls: Iterator[Poll], policy: Policy = ERRORS) -> int | None:
    """Canary requests until the rollback; None: never."""
    state, seen = State(), 0
    for poll in polls:
        seen += poll.n_c
        state = fold(state, poll, policy)
        if state.latched is not None:
            return seen
    return None


@pytest.mark.parametrize("regime", [{}, {"incident": True}, {"ramp": True}, {"incident": True, "ramp": True}])
def test_healthy_releases_are_rolled_back_rarely_also_in_a_shared_incident(regime: dict[str, bool]) -> None:
    rng = np.random.default_rng(11)
    wrong = sum(caught_after(stream(rng, 0.005, polls=120, **regime)) is not None for _ in range(80))
    assert wrong <= 2


def test_five_percent_errors_are_caught_within_twice_the_information_limit() -> None:
    rng = np.random.default_rng(12)
    found = [caught_after(stream(rng, 0.05, polls=300)) for _ in range(40)]
    assert all(found)
    assert np.mean([count for count in found if count]) < 2 * 84


def test_a_z_test_at_every_look_rolls_back_more_than_a_tenth_of_healthy_releases() -> None:
    """The negative control: the same streams, looked at as often, by a test that is not made for it."""
    rng = np.random.default_rng(13)
    wrong = 0
    for _ in range(80):
        totals = np.zeros(4)
        for poll in stream(rng, 0.005, polls=300):
            totals += (poll.n_c, poll.e_c, poll.n_b, poll.e_b)
            n_c, e_c, n_b, e_b = totals
            pooled = (e_c + e_b) / (n_c + n_b)
            spread = math.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_b))
            if spread > 0 and (e_c / n_c - e_b / n_b) / spread > 2.326:
                wrong += 1
                break
    assert wrong > 8


def test_slow_slices_shared_by_both_arms_do_not_roll_back_and_the_canarys_own_do() -> None:
    policy = load_policy("metrics: {errors: {role: observe}, feedback: {role: observe}}")
    rng = np.random.default_rng(14)

    def slices(p_c: float, p_b: float) -> Iterator[Poll]:
        for i in range(60):
            e_c, e_b = int(rng.binomial(5, p_c)), int(rng.binomial(5, p_b))
            yield Poll(1000.0 + 5 * i, "latency", 5, e_c, 5, e_b, 50)

    assert sum(caught_after(slices(0.5, 0.5), policy) is not None for _ in range(20)) == 0
    own = [caught_after(slices(0.9, 0.02), policy) for _ in range(20)]
    assert all(count is not None and count <= 25 for count in own)
