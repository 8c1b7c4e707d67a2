"""Polls are cut by the log, never by outcomes or by this process; late votes land in their own step."""

from __future__ import annotations

import json
import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.judge.counting import Counting
from coalmine.judge.fold import BAKED, State, fold_all
from coalmine.judge.policy import Policy, load_policy
from coalmine.judge.sources import Label, Line
from coalmine.records import Poll

POLICY = load_policy("")


def request(t: float, arm: str = "canary", **more: object) -> Line:
    release = "m2-abcdef0" if arm == "canary" else "m1-abcdef0"
    values = {"release": release, "weight": 50, "epoch": 2, "status": 200, "upstream_failed": False, "seconds": 0.01}
    return Line(t=t, arm=arm, **{**values, **more})  # type: ignore[arg-type]


def both(start: float, count: int, **more: object) -> list[Line]:
    """`count` requests to each arm, ten in a second each."""
    return [request(start + i / 10, arm, **more) for i in range(count) for arm in ("canary", "primary")]


def of(polls: list[Poll], metric: str) -> list[tuple[int, int, int, int, int]]:
    return [(p.step, p.n_c, p.e_c, p.n_b, p.e_b) for p in polls if p.metric == metric]


def test_a_poll_waits_for_ten_in_each_arm() -> None:
    assert of(Counting().lines(both(100, 12), POLICY), "errors") == [(50, 10, 0, 10, 0)]


def test_lines_with_one_t_are_one_look() -> None:
    lines = [request(100.0, arm) for _ in range(40) for arm in ("canary", "primary")] + both(101, 1)
    assert of(Counting().lines(lines, POLICY), "errors") == []
    lines += both(102, 1)
    assert of(Counting().lines(lines, POLICY), "errors") == [(50, 41, 0, 41, 0)]


def test_when_to_cut_does_not_depend_on_the_outcomes() -> None:
    clean = Counting().lines(both(100, 200), POLICY)
    failing = Counting().lines(both(100, 200, status=503), POLICY)
    assert [p.t for p in clean if p.metric == "errors"] == [p.t for p in failing if p.metric == "errors"]


def test_a_change_of_weight_cuts_and_stragglers_keep_their_step() -> None:
    lines = [
        *both(100, 3),
        *both(101, 3, weight=60, epoch=3),
        request(101.5, epoch=2),
        *both(102, 12, weight=60, epoch=3),
    ]
    polls = Counting().lines(lines, POLICY)
    assert of(polls, "errors") == [(50, 3, 0, 3, 0), (60, 10, 0, 10, 0), (50, 1, 0, 0, 0)]


def test_what_is_bad() -> None:
    policy = load_policy("metrics: {errors: {also_bad: [429]}}")
    counting = Counting()
    for i, status in enumerate((200, 404, 422, 429, 499, 500, 504)):
        counting.lines([request(100 + i, status=status)], policy)
    counting.lines([request(110, upstream_failed=True)], policy)
    assert counting.failed == 5


def test_nothing_counts_without_a_canary_in_the_traffic() -> None:
    counting = Counting()
    polls = counting.lines([request(100 + i, "primary", weight=0) for i in range(100)], POLICY)
    assert polls == []
    assert counting.pending == {}


def test_a_slice_is_slow_when_more_than_its_budgeted_share_is() -> None:
    lines = []
    for second in range(6):
        for i in range(10):
            slow = 0.5 if (second < 3 and i < 2) or i < 1 else 0.001
            lines += [request(100 + second + i / 10, seconds=slow), request(100 + second + i / 10, "primary")]
    polls = Counting().lines(lines, POLICY)
    assert of(polls, "latency") == [(50, 5, 3, 5, 0)]


def test_a_slice_without_enough_requests_grows_by_whole_seconds() -> None:
    lines = [request(100 + i, arm) for i in range(27) for arm in ("canary", "primary")]
    assert of(Counting().lines(lines, POLICY), "latency") == [(50, 5, 0, 5, 0)]


def test_silence_cuts_what_is_older_than_the_longest_poll() -> None:
    counting = Counting()
    counting.lines(both(100, 3), POLICY)
    assert counting.idle(120, POLICY) == []
    assert of(counting.idle(131, POLICY), "errors") == [(50, 3, 0, 3, 0)]
    assert counting.idle(200, POLICY) == []


def vote(release: str, made: float, t: float, *, good: bool = True) -> Label:
    return Label(release=release, predicted_at=made, t=t, good=good)


def test_a_vote_counts_in_the_step_in_which_its_prediction_was_routed() -> None:
    counting = Counting()
    counting.lines([*both(100, 5, weight=10, epoch=2), *both(110, 5, weight=50, epoch=3)], POLICY)
    votes = [vote("m2-abcdef0", 101, 111 + i, good=i > 2) for i in range(11)]
    votes += [vote("m1-abcdef0", 101, 111 + i) for i in range(11)]
    votes += [vote("m2-abcdef0", 112, 125), vote("m9-abcdef0", 112, 125), vote("m1-abcdef0", 50, 125)]
    polls = counting.labels(sorted(votes, key=lambda v: v.t), POLICY)
    assert of(polls, "feedback") == [(10, 10, 3, 10, 0)]
    polls = counting.idle(200, POLICY)
    assert of(polls, "feedback") == [(10, 1, 0, 1, 0), (50, 1, 0, 0, 0)]


def test_another_canary_supersedes_but_a_straggler_of_the_attempt_before_does_not() -> None:
    counting = Counting(after_epoch=4)
    counting.lines([request(99, epoch=4, release="m7-abcdef0"), request(100, epoch=5)], POLICY)
    assert counting.release == "m2-abcdef0"
    counting.lines([request(101, epoch=4, release="m7-abcdef0")], POLICY)
    assert counting.routed == {"50": 1}
    counting.lines([request(102, epoch=6, release="m3-abcdef0"), *both(103, 50)], POLICY)
    assert counting.superseded == "m3-abcdef0"
    assert counting.routed == {"50": 1}


def test_a_hint_tells_the_canary_from_the_one_before() -> None:
    counting = Counting(hint="m2-abcdef0")
    counting.lines([request(99, release="m7-abcdef0"), request(100)], POLICY)
    assert (counting.release, counting.superseded) == ("m2-abcdef0", "")


def test_a_wrong_hint_does_not_blind_the_judge() -> None:
    counting = Counting(hint="m9-abcdef0")
    counting.lines(both(100, 120), POLICY)
    assert counting.release == "m2-abcdef0"


def test_after_the_promotion_the_release_is_counted_as_primary_until_another_canary_comes() -> None:
    counting = Counting()
    counting.lines(both(100, 12), POLICY)
    promoted = [request(110 + i / 10, "primary", release="m2-abcdef0", weight=0, epoch=9) for i in range(30)]
    polls = counting.lines(promoted, POLICY)
    assert of(polls, "errors")[-1] == (BAKED, 10, 0, 0, 0)
    assert counting.baking == 110
    counting.lines([request(120, epoch=10, release="m3-abcdef0", weight=10)], POLICY)
    assert counting.over
    assert not counting.superseded


def stream(seed: int, seconds: float = 40) -> list[Line]:
    rng, t, lines = random.Random(seed), 1000.0, []
    while t < 1000 + seconds:
        t += rng.expovariate(80)
        epoch = 2 + int((t - 1000) // 13)
        arm = "canary" if rng.random() < 0.1 * epoch else "primary"
        status = 500 if rng.random() < 0.03 else 200
        lines.append(
            request(round(t, 3), arm, weight=10 * epoch, epoch=epoch, status=status, seconds=rng.expovariate(40))
        )
    return lines


WHOLE = stream(3)


def identical(one: State, other: State) -> bool:
    """Bit for bit."""
    return (one.steps, one.started, one.latched) == (other.steps, other.started, other.latched) and all(
        one.metrics[name].rows.tobytes() == other.metrics[name].rows.tobytes()
        and one.metrics[name].log_e == other.metrics[name].log_e
        and one.metrics[name].kept.tobytes() == other.metrics[name].kept.tobytes()
        for name in one.metrics
    )


def run(pieces: list[list[Line]], policy: Policy) -> tuple[list[Poll], State]:
    """Each piece is read by a process of its own, which gets only what was stored."""
    polls: list[Poll] = []
    stored = json.dumps(Counting().dump())
    state = State()
    for piece in pieces:
        counting = Counting.load(json.loads(stored))
        new = counting.lines(piece, policy)
        stored = json.dumps(counting.dump())
        polls += new
        state = fold_all(new, policy, state) if len(polls) % 2 else fold_all(polls, policy)
    return polls, state


@settings(max_examples=20)
@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_killed_at_any_line_and_started_again_the_verdict_is_the_same_to_the_bit(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[a:b] for a, b in pairwise(places)]
    polls, state = run(pieces, POLICY)
    whole_polls, whole = run([WHOLE], POLICY)
    assert polls == whole_polls
    assert len(polls) > 40
    assert identical(state, whole)
