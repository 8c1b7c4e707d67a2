"""Each kind of metric says what it is for: a fault of its kind rolls back, a healthy canary does not."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from coalmine.judge import decide
from coalmine.judge.fold import State, fold_all
from coalmine.judge.policy import Policy, load_policy
from coalmine.records import Decision, Poll

SEED = 20
LOOKS = 60


def only(metric: str) -> Policy:
    """The policy with this metric and no other, as a guardrail."""
    return load_policy(f"metrics: {{errors: null, latency: null, feedback: null, m: {{role: guardrail, {metric}}}}}")


def verdict(polls: list[Poll], policy: Policy) -> decide.Verdict:
    state = fold_all(polls, policy, State())
    return decide.judge(state, policy, state.t, opened=polls[0].t)


def events(rate: float, *, kind: str) -> Iterator[Poll]:
    """Events of a canary with this rate beside a baseline with a rate of 0.05."""
    rng = np.random.default_rng(SEED)
    for look in range(LOOKS):
        counts = (int(rng.poisson(200 * rate)), int(rng.poisson((200 if kind == "paired" else 1800) * 0.05)))
        yield Poll(10.0 * look, "m", 200, counts[0], 200 if kind == "paired" else 1800, counts[1], step=10)


@pytest.mark.parametrize("kind", ["counts", "paired"])
def test_events_that_became_twice_as_frequent_roll_back_and_equal_ones_promote(kind: str) -> None:
    """Also where there are more events than units: counts are no shares."""
    assert verdict(list(events(0.15, kind=kind)), only(f"kind: {kind}")).decision is Decision.ROLLBACK
    assert verdict(list(events(0.05, kind=kind)), only(f"kind: {kind}")).decision is Decision.PROMOTE
    busy = [Poll(10.0 * look, "m", 1, 40, 9, 60, step=10) for look in range(9)]
    assert verdict(busy, only(f"kind: {kind}")).decision is Decision.ROLLBACK


def mix(shares: tuple[float, float, float]) -> list[Poll]:
    rng, found = np.random.default_rng(SEED), []
    for look in range(LOOKS):
        canary, primary = rng.multinomial(50, shares), rng.multinomial(450, (0.6, 0.3, 0.1))
        for part, e_c, e_b in zip(("cat", "dog", "bird"), canary, primary, strict=True):
            found.append(Poll(10.0 * look, "m", 50, int(e_c), 450, int(e_b), step=10, part=part))
    return found


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.6, 0.3, 0.1), Decision.PROMOTE),
        ((0.55, 0.33, 0.12), Decision.PROMOTE),  # a new model is meant to differ
        ((0.3, 0.3, 0.4), Decision.ROLLBACK),
        ((0.69, 0.3, 0.01), Decision.ROLLBACK),  # a class that all but vanished
    ],
)
def test_a_mix_may_move_within_the_margin_and_not_beyond(shares: tuple[float, ...], expected: Decision) -> None:
    """In either direction; the class that moved is named."""
    found = verdict(mix((shares[0], shares[1], shares[2])), only("kind: mix, classes: [cat, dog, bird]"))
    assert found.decision is expected, found.reason
    assert {part.part for part in found.metrics[0].parts} == {"cat", "dog", "bird"}
    if expected is Decision.ROLLBACK:
        assert found.reason.startswith(("m: bird is ", "m: cat is "))


def scored(mean: float) -> list[Poll]:
    rng, found = np.random.default_rng(SEED), []
    for look in range(LOOKS):
        canary, primary = rng.beta(10 * mean, 10 * (1 - mean), 20), rng.beta(2, 8, 180)
        sums = [round(1e6 * float(value)) for x in (canary, primary) for value in (x.sum(), (x * x).sum())]
        found.append(Poll(10.0 * look, "m", 20, sums[0], 180, sums[2], step=10, q_c=sums[1], q_b=sums[3]))
    return found


def test_scores_are_compared_by_their_means() -> None:
    """A worse mean rolls back, an equal one is shown to be no worse; the band holds the true difference."""
    worse, equal = (verdict(scored(mean), only("kind: score")) for mean in (0.35, 0.2))
    assert (worse.decision, equal.decision) == (Decision.ROLLBACK, Decision.PROMOTE)
    for found, difference in ((worse, 0.15), (equal, 0.0)):
        low, high = found.metrics[0].difference_low, found.metrics[0].difference_high
        assert low is not None
        assert high is not None
        assert low <= difference <= high


def test_a_leak_is_seen_and_a_level_above_the_limit_too() -> None:
    """Memory that grows in each window beside a primary that does not; samples above the policy's limit."""
    policy = only("kind: resource, limit: 1000")
    leak = [Poll(30.0 * look, "m", 1, 1, 1, 0, step=10, part="growth") for look in range(20)]
    found = verdict(leak, policy)
    assert found.decision is Decision.ROLLBACK
    assert "growing faster than the primary" in found.reason
    above = [Poll(10.0 * look, "m", 3, 2, 9, 0, step=10, part="limit") for look in range(20)]
    assert verdict(above, policy).decision is Decision.ROLLBACK
    fine = [
        Poll(30.0 * look, "m", 3, look % 2 if part == "growth" else 0, 3, 0, step=10, part=part)
        for look in range(60)
        for part in ("limit", "growth")
    ]
    assert verdict(fine, policy).decision is Decision.PROMOTE


def test_more_edges_of_a_latency_see_what_the_objectives_edge_does_not() -> None:
    """Slices that became bad at a lower edge only, against the baseline."""
    policy = only("kind: latency, against: baseline, more_edges: [0.02, 0.05]")
    rng = np.random.default_rng(SEED)
    polls = [
        Poll(10.0 * look, "m", 10, int(rng.binomial(10, rate)), 10, int(rng.binomial(10, 0.2)), step=10, part=part)
        for look in range(40)
        for part, rate in (("", 0.2), ("0.02", 0.9), ("0.05", 0.2))
    ]
    found = verdict(polls, policy)
    assert found.decision is Decision.ROLLBACK
    worst = max(found.metrics[0].parts, key=lambda part: part.log_e or -math.inf)
    assert worst.part == "0.02"


def test_the_bands_of_both_rates_hold_the_truth_and_never_widen() -> None:
    """As polls come in; what is shown is the running intersection."""
    rng, state, policy = np.random.default_rng(SEED), State(), load_policy("")
    before = (0.0, 1.0)
    for look in range(200):
        counts = (int(rng.binomial(50, 0.03)), int(rng.binomial(450, 0.03)))
        state = fold_all([Poll(10.0 * look, "errors", 50, counts[0], 450, counts[1], step=10)], policy, state)
        errors = decide.judge(state, policy, state.t, opened=0.0).metrics[0]
        assert errors.rate_c_low is not None
        assert errors.rate_c_high is not None
        assert before[0] <= errors.rate_c_low <= 0.03 <= errors.rate_c_high <= before[1]
        before = (errors.rate_c_low, errors.rate_c_high)
    assert before[1] - before[0] < 0.02


@pytest.mark.parametrize(
    ("action", "expected"),
    [("rollback", Decision.ROLLBACK), ("hold", Decision.CONTINUE), ("approve", Decision.PROMOTE)],
)
def test_a_person_overrides_what_the_evidence_says_and_is_named(action: str, expected: Decision) -> None:
    """With the reason given and what the evidence said."""
    polls = [Poll(10.0, "errors", 10, 0, 90, 0, step=10)]
    state, policy = fold_all(polls, load_policy("")), load_policy("")
    override = decide.Override(action, who="ada", why="the dashboard is wrong", t=11.0)  # type: ignore[arg-type] # the test's table
    found = decide.judge(state, policy, 12.0, opened=0.0, override=override)
    assert found.decision is expected
    assert "by ada: the dashboard is wrong (the evidence: CONTINUE, waiting for" in found.reason


def test_a_rollback_that_the_evidence_called_for_is_not_overridden() -> None:
    """Its traffic is already taken away."""
    state, policy = fold_all([Poll(10.0, "errors", 100, 60, 900, 4, step=10)], load_policy("")), load_policy("")
    override = decide.Override("approve", who="ada", why="it is fine", t=11.0)
    assert decide.judge(state, policy, 12.0, opened=0.0, override=override).decision is Decision.ROLLBACK
