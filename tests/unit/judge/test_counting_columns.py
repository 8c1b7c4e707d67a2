"""Counted by columns, any log cuts the same polls as counted line by line, whatever the chunks and the restarts."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.judge.counting import Counting
from coalmine.judge.exposed import Exposed
from coalmine.judge.policy import Policy, load_policy
from coalmine.judge.sources import Label, Line, Lines
from coalmine.records import Poll
from unit.judge import slow_counting

REQUESTS = load_policy(
    "poll_seconds: 0.3\nmetrics: {errors: {poll_outcomes: 3, also_bad: [429]},"
    " latency: {poll_outcomes: 2, slice_requests: 2, share: 0.3, edge_seconds: 0.02, more_edges: [0.01, 0.05]}}"
)
USERS = REQUESTS.model_copy(update={"unit": "user"})

GAPS = (0.0, 0.001, 0.05, 0.2, 0.2, 0.5, 1.1, -0.002)


def log(seed: int, size: int, noise: float) -> list[Line]:
    """Two releases and a ramp, often a promotion; a share of `noise`: stragglers, strangers, clocks that jump."""
    rng = random.Random(seed)
    t, epoch, weight, lines = 1000.0, 2, 10, []
    promoted = rng.choice([size // 3, size // 2, size])
    share, users, gaps = rng.choice([0.1, 0.5]), rng.choice([8, 60]), rng.choice([GAPS, GAPS[:4]])
    for place in range(size):
        odd, baked = rng.random() < noise, place >= promoted
        t += rng.choice([-1.5, 31.0, 5.0]) if odd and rng.random() < 0.3 else rng.choice(gaps)
        if rng.random() < 0.03 or place == promoted:
            epoch, weight = epoch + 1, 0 if baked else rng.choice([10, 20, 50])
        arm = "canary" if rng.random() < share and not baked else "primary"
        release = "m2" if arm == "canary" or baked else "m1"
        lines.append(
            Line(
                t=round(t, 3),
                arm=arm,
                release=rng.choice(["m0", "m1", "m2", "m3"]) if odd and rng.random() < 0.1 else release,
                weight=rng.choice([0, 5, 50]) if odd and rng.random() < 0.5 else weight,
                epoch=epoch - (odd and rng.random() < 0.5),
                status=rng.choice([200] * 8 + [404, 429, 499, 500, 503]),
                upstream_failed=rng.random() < 0.1,
                seconds=rng.choice([0.001, 0.015, 0.03, 0.5, None]),
                user=rng.randint(0, users),
                canary=rng.choice(["prod/a", "prod/b"]) if odd else "",
            )
        )
    return lines


logs = st.builds(log, st.integers(0, 2**32), st.integers(1, 300), st.sampled_from([0.0, 0.02, 0.3]))
starts = st.fixed_dictionaries({
    "hint": st.sampled_from(["", "", "m2", "m9"]),
    "after_epoch": st.sampled_from([0, 0, 2, 3]),
    "canary": st.sampled_from(["", "prod/a"]),
})  # fmt: skip
SHARED = ("release", "baseline", "epoch", "weight", "seen", "strangers", "superseded", "baking", "exposed", "over",
          "weights", "routed", "failed", "skipped")  # fmt: skip


def in_pieces(lines: list[Line], places: list[int], policy: Policy, start: Counting) -> tuple[list[Poll], Counting]:
    """Each piece is counted by a process of its own, which gets only what was stored."""
    polls, stored = [], json.dumps(start.dump())
    for begin, end in pairwise([0, *sorted(places), len(lines)]):
        counting = Counting.load(json.loads(stored))
        polls += counting.lines(Lines.of(lines)[begin:end], policy)
        stored = json.dumps(counting.dump())
    return polls, Counting.load(json.loads(stored))


def check(lines: list[Line], places: list[int], policy: Policy, *, limit: int, start: dict[str, object]) -> int:
    slow = slow_counting.Counting(limit=limit, **start)  # type: ignore[arg-type]
    expected = slow.lines(lines, policy)
    places = [place % (len(lines) + 1) for place in places]
    fast = Counting(users=Exposed(limit), **start)  # type: ignore[arg-type]
    polls, counting = in_pieces(lines, places, policy, fast)
    assert polls == expected
    for name in SHARED:
        assert getattr(counting, name) == getattr(slow, name), name
    assert counting.idle(1e9, policy) == slow.idle(1e9, policy)
    return len(polls)


@settings(max_examples=250)
@given(logs, st.lists(st.integers(0, 1000), max_size=5), starts)
def test_the_same_polls_as_line_by_line(lines: list[Line], places: list[int], start: dict[str, object]) -> None:
    check(lines, places, REQUESTS, limit=100, start=start)


@settings(max_examples=100)
@given(logs, st.lists(st.integers(0, 1000), max_size=5), st.integers(1, 8))
def test_the_same_users_as_line_by_line_also_when_they_are_sampled(
    lines: list[Line], places: list[int], limit: int
) -> None:
    check(lines, places, USERS, limit=limit, start={})


def request(t: float, arm: str = "canary", **more: object) -> Line:
    values = {"release": "m2" if arm == "canary" else "m1", "weight": 50, "epoch": 2, "status": 200}
    return Line(t=t, arm=arm, **{**values, "upstream_failed": False, "seconds": 0.01, **more})  # type: ignore[arg-type]


def test_a_user_counts_once_in_the_arm_that_served_first_with_the_first_outcome() -> None:
    lines = [request(100 + i / 10, arm, user=7 + i % 3, status=500 if i < 3 else 200)
             for i in range(30) for arm in ("canary", "primary")]  # fmt: skip
    counting = Counting()
    polls = counting.lines(lines, USERS) + counting.idle(1000, USERS)
    assert [(p.n_c, p.e_c, p.n_b, p.e_b) for p in polls if p.metric == "errors"] == [(3, 3, 0, 0)]
    assert counting.routed == {"50": 30}


def test_without_a_user_a_line_counts_for_no_unit_and_that_is_said() -> None:
    counting = Counting()
    polls = counting.lines([request(100 + i, arm) for i in range(20) for arm in ("canary", "primary")], USERS)
    assert counting.skipped == 40
    assert {poll.metric for poll in polls} == {"latency"}


def test_all_edges_of_a_slice_are_one_look() -> None:
    lines = [request(100 + i / 4, arm, seconds=0.03) for i in range(40) for arm in ("canary", "primary")]
    polls = [poll for poll in Counting().lines(lines, REQUESTS) if poll.metric == "latency"]
    assert [(p.part, p.n_c, p.e_c) for p in polls[:3]] == [("", 2, 2), ("0.01", 2, 2), ("0.05", 2, 0)]
    assert len({poll.t for poll in polls[:3]}) == 1


def test_a_users_first_vote_counts_if_it_comes_soon_after_what_it_is_about() -> None:
    """A second vote of a user adds nothing; neither does a late one, nor one without a name."""
    policy = load_policy("unit: user\nunit_window_seconds: 60")
    counting = Counting()
    counting.lines([request(100 + i, user=index) for i, index in enumerate((11, 12, 13))], policy)
    vote = Label("m2", predicted_at=100, t=103, good=False)
    counting.labels([replace(vote, user=user) for user in ("ada", "bob", "ada", "")], policy)
    counting.labels([replace(vote, user="eve", t=200), replace(vote, user="bob", t=104)], policy)
    counting = Counting.load(json.loads(json.dumps(counting.dump())))
    counting.labels([replace(vote, user="ada", t=105)], policy)
    polls = counting.idle(1000, policy)
    assert [(p.n_c, p.e_c) for p in polls if p.metric == "feedback"] == [(2, 2)]
    assert counting.skipped == 1


def test_what_is_stored_of_users_is_small() -> None:
    counting = Counting()
    counting.lines([request(100 + i / 1000, user=i + 1) for i in range(10_000)], USERS)
    assert len(counting.users) == 10_000
    assert len(json.dumps(counting.dump())) < 120_000
