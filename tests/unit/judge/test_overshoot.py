"""What is given back for overshooting keeps the evidence an e-process: checked by enumeration, not by simulation."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from coalmine.judge import evidence
from coalmine.judge.fold import State, fold
from coalmine.judge.policy import load_policy
from coalmine.records import Poll

POLICY = load_policy("metrics: {latency: null, feedback: null, errors: {odds_ratio_rollback: 1}}")
LINE = -math.log(POLICY.alpha)


def shown(state: State) -> float:
    """ln of the evidence as it counts, stopped at its line."""
    errors = state.metrics.get("errors")
    return 0.0 if errors is None else min(LINE, errors.log_e + errors.log_boost)


polls = st.lists(
    st.tuples(
        st.integers(1, 20), st.integers(0, 5), st.integers(1, 60), st.integers(0, 4), st.sampled_from([0, 5, 10])
    ),
    max_size=12,
)


@given(polls, st.integers(1, 30), st.integers(1, 90), st.integers(1, 9))
def test_given_any_past_the_stopped_evidence_keeps_its_expectation_under_the_null(
    past: list[tuple[int, int, int, int, int]], n_c: int, n_b: int, m: int
) -> None:
    """Over all outcomes of the next poll with these totals, each with its null chance: exactly what it was before."""
    state = State()
    for number, (size_c, bad_c, size_b, bad_b, step) in enumerate(past):
        outcome = Poll(float(number), "errors", size_c, min(bad_c, size_c), size_b, min(bad_b, size_b), step=step)
        state = fold(state, outcome, POLICY)
    if state.latched is not None:
        return
    m = min(m, n_c + n_b)
    expected = 0.0
    for k in range(max(0, m - n_b), min(m, n_c) + 1):
        chance = math.exp(evidence.fnch_log_pmf((n_c, k, n_b, m - k), np.zeros(1))[0])
        after = fold(state, Poll(99.0, "errors", n_c, k, n_b, m - k, step=10), POLICY)
        expected += chance * math.exp(shown(after))
    assert math.isclose(expected, math.exp(shown(state)), rel_tol=1e-9)


@given(st.floats(0.1, 5.0), st.lists(st.floats(0.01, 1.0), min_size=2, max_size=30), st.floats(0.0, 2.0))
def test_the_boost_is_the_largest_that_is_allowed(slope: float, weights: list[float], room: float) -> None:
    """The expectation of min(b x factor, room) is 1, or b is 1 because nothing can overshoot."""
    null = np.array(weights) / sum(weights)
    raw = np.exp(slope * np.arange(len(weights)))
    factor = np.log(raw / float(null @ raw))
    boost = evidence.log_boost(np.log(null), factor, room)
    stopped = float(null @ np.minimum(np.exp(boost + factor), math.exp(room)))
    assert boost >= 0.0
    assert stopped <= 1.0 + 1e-9
    if factor[-1] > room > 0.01:
        assert math.isclose(stopped, 1.0, rel_tol=1e-6)
