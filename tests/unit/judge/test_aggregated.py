"""Counts from Prometheus or a push become the same polls that lines would, for every kind of metric."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from coalmine.judge import decide
from coalmine.judge.counting import Counting
from coalmine.judge.fold import BAKED, State
from coalmine.judge.policy import load_policy
from coalmine.judge.sources import Outcomes
from coalmine.records import Poll

POLICY = load_policy(
    "metrics: {latency: {more_edges: [0.2]}, memory: {kind: resource, limit: 1.0e9}, rating: {kind: score},"
    " fallbacks: {kind: counts}, shadow: {kind: paired}, classes: {kind: mix, classes: [ham, spam]}}"
)


def counts(t: float, arm: str = "canary", metric: str = "errors", n: int = 20, e: int = 0, **more: object) -> Outcomes:
    return Outcomes("prod", "model", t, metric, arm, n, e, **{"weight": 10, **more})  # type: ignore[arg-type]


def both(t: float, metric: str = "errors", **more: object) -> list[Outcomes]:
    return [counts(t, arm, metric, **more) for arm in ("primary", "canary")]  # type: ignore[arg-type]


def of(polls: list[Poll], metric: str = "errors") -> list[tuple[float, int, str, int, int, int, int]]:
    return [(p.t, p.step, p.part, p.n_c, p.e_c, p.n_b, p.e_b) for p in polls if p.metric == metric]


def test_a_poll_is_cut_by_the_next_time_when_both_arms_are_full() -> None:
    counting = Counting()
    assert counting.outcomes(both(100, n=6), POLICY) == []
    polls = counting.outcomes([*both(105, n=6, e=2), *both(110)], POLICY)
    assert of(polls) == [(105, 10, "", 12, 2, 12, 2)]
    assert counting.routed == {"10": 32}
    assert counting.failed == 2
    assert counting.exposed == 100


def test_it_does_not_matter_which_arm_of_one_time_comes_first() -> None:
    one, other = Counting(), Counting()
    assert one.outcomes(both(100) + both(110), POLICY) == other.outcomes(both(100)[::-1] + both(110)[::-1], POLICY)


def test_a_change_of_weight_cuts() -> None:
    polls = Counting().outcomes([*both(100, n=3), *both(101, n=3, weight=20), *both(103, weight=20)], POLICY)
    assert of(polls) == [(100, 10, "", 3, 0, 3, 0)]


def test_what_is_older_than_the_longest_poll_is_cut() -> None:
    polls = Counting().outcomes([counts(100 + 6 * i, n=1) for i in range(7)], POLICY)
    assert of(polls) == [(124, 10, "", 5, 0, 0, 0)]


def test_all_parts_of_a_metric_are_one_look() -> None:
    items = [
        counts(t, arm, "classes", n=20, e=7, part=part)
        for t in (100, 101)
        for arm in ("canary", "primary")
        for part in ("ham", "spam")
    ]
    polls = Counting().outcomes(items, POLICY)
    assert of(polls, "classes") == [(100, 10, "ham", 20, 7, 20, 7), (100, 10, "spam", 20, 7, 20, 7)]


def test_a_score_keeps_its_sums_of_squares() -> None:
    items = [
        counts(t, arm, "rating", n=12, e=5_000_000, q=3_000_000) for t in (100, 101) for arm in ("canary", "primary")
    ]
    polls = Counting().outcomes(items, POLICY)
    assert polls == [Poll(100, "rating", 12, 5_000_000, 12, 5_000_000, step=10, q_c=3_000_000, q_b=3_000_000)]


def test_events_may_outnumber_their_exposure_but_failures_may_not_outnumber_requests() -> None:
    counting = Counting()
    assert of(counting.outcomes(both(100, "fallbacks", e=50) + both(101, "fallbacks"), POLICY), "fallbacks")
    assert counting.skipped == 0
    counting.outcomes([counts(102, n=3, e=4), counts(102, n=-1)], POLICY)
    assert counting.skipped == 2


def test_an_unknown_metric_or_part_is_skipped_and_counted() -> None:
    counting = Counting()
    items = [counts(1, metric="nothing"), counts(1, metric="memory"), counts(1, part="0.5", metric="latency")]
    assert counting.outcomes(items, POLICY) == []
    assert (counting.skipped, counting.release) == (3, "")


def test_shadow_pairs_count_at_weight_0_and_warm_up_does_not() -> None:
    counting = Counting()
    items = [item for t in (100, 101) for name in ("shadow", "errors") for item in both(t, name, weight=0)]
    polls = counting.outcomes(items, POLICY)
    assert of(polls, "shadow") == [(100, 0, "", 20, 0, 20, 0)]
    assert of(polls) == []


def test_a_stream_that_says_nothing_of_weights_has_no_steps() -> None:
    polls = Counting().outcomes(both(100, weight=None) + both(101, weight=None), POLICY)
    assert of(polls) == [(100, 0, "", 20, 0, 20, 0)]


@pytest.mark.parametrize(("hint", "release"), [("m2-abcdef0", "m2-abcdef0"), ("", "canary")])
def test_a_count_without_a_release_belongs_to_the_hinted_one(hint: str, release: str) -> None:
    counting = Counting(hint=hint)
    counting.outcomes(both(100), POLICY)
    assert counting.release == release
    counting.outcomes([counts(101, release=hint or "m5-abcdef0")], POLICY)
    assert (counting.release, counting.superseded) == (hint or "m5-abcdef0", "")


def test_another_release_supersedes_and_nothing_counts_after() -> None:
    counting = Counting()
    counting.outcomes([counts(100, release="m2-abcdef0"), counts(101, release="m3-abcdef0"), counts(102)], POLICY)
    assert (counting.release, counting.superseded) == ("m2-abcdef0", "m3-abcdef0")
    assert counting.routed == {"10": 20}


def test_another_canarys_counts_are_not_this_ones() -> None:
    counting = Counting(canary="prod/other")
    assert counting.outcomes(both(100) + both(101), POLICY) == []
    assert counting.routed == {}


def test_after_the_promotion_what_the_primary_serves_is_baked() -> None:
    counting = Counting()
    counting.outcomes([counts(100, release="m2-abcdef0"), counts(100, "primary", release="m1-abcdef0")], POLICY)
    promoted = [counts(110 + t, "primary", release="m2-abcdef0", weight=0) for t in range(2)]
    assert of(counting.outcomes(promoted, POLICY))[-1] == (110, BAKED, "", 20, 0, 0, 0)
    assert counting.baking == 110
    counting.outcomes([counts(120, release="m3-abcdef0")], POLICY)
    assert counting.over


def test_what_is_stored_is_exact() -> None:
    items = [
        item
        for t in range(40)
        for name in POLICY.metrics
        for item in both(100 + t, name, n=4, part=POLICY.metrics[name].parts[-1])
    ]
    whole, stored, polls = Counting(), Counting().dump(), []
    for item in range(0, len(items), 2):
        counting = Counting.load(json.loads(json.dumps(stored)))
        polls += counting.outcomes(items[item : item + 2], POLICY)
        stored = counting.dump()
    assert polls == whole.outcomes(items, POLICY)
    assert Counting.load(json.loads(json.dumps(stored))) == whole


def ramp(*, late: int, share: float = 0.0) -> float:
    """The evidence of misrouting after 5, 10, 25 and 50 % for ten readings each, the weight told `late` readings after.

    `share`: what the canary really gets, where it is not the weight.
    """
    counting, rng = Counting(), np.random.default_rng(7)
    true = [weight for weight in (5, 10, 25, 50) for _ in range(10)]
    told = [true[max(0, place - late)] for place in range(len(true))]
    for place, (weight, says) in enumerate(zip(true, told, strict=True)):
        n_c = int(rng.binomial(400, share or weight / 100))
        t = 100.0 + 10 * place
        counting = Counting.load(json.loads(json.dumps(counting.dump())))
        counting.outcomes([counts(t, n=n_c, weight=says), counts(t, "primary", n=400 - n_c, weight=says)], POLICY)
    return decide.log_e_sample_ratio(State(), POLICY, counting.shares)


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_weight_that_is_told_late_is_no_misrouting(late: int) -> None:
    """Proxy and Flagger are scraped at different moments; over a change a reading holds requests of both weights."""
    assert ramp(late=late) < math.log(100)


def test_traffic_that_does_not_follow_the_weights_is_found_all_the_same() -> None:
    assert ramp(late=1, share=0.2) > math.log(1e6)
