"""What holds in every story: random pushes, verdicts, outages and deaths of the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coalmine.records import Outcome, Phase
from coalmine.rollout.state import Answer, Ask, Said

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["push 1", "push 2", "push 3", "good", "bad", "dead", "slow", "down", "up", "crash", "none"]),
        st.integers(min_value=1, max_value=16),
    ),
    min_size=1,
    max_size=14,
)
GENTLE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def mood(name: str) -> Callable[[Ask, Any], Answer]:
    def judge(ask: Ask, _world: Any) -> Answer:
        if name == "dead":
            return Answer(Said.UNREACHABLE, "refused")
        if name == "slow":
            return Answer(Said.NO, "not yet")
        if ask.kind == "rollback":
            return Answer(Said.YES if name == "bad" else Said.NO, name)
        return Answer(Said.YES, name)

    return judge


def play(story: Any, actions: list[tuple[str, int]]) -> None:
    world = story.world
    world.judge = mood("good")
    for action, halves in actions:
        if action.startswith("push"):
            story.push(int(action[-1]))
        elif action in {"down", "up"}:
            world.never_ready = {2} if action == "down" else set()
        elif action == "crash":
            world.crash_at = world.calls + halves
        elif action == "none":
            story.target = None
        else:
            world.judge = mood(action)
        story.run(halves / 2)


@GENTLE
@given(actions=ACTIONS)
def test_the_invariants_of_every_story(actions: list[tuple[str, int]], new_story: Callable[..., Any]) -> None:
    story = new_story()
    play(story, actions)
    world = story.world
    limit = story.canary.max_weight
    assert all(split.weight <= limit for split in world.splits)
    assert all(split.weight == 0 or (split.canary and split.primary) for split in world.splits)
    assert [split.epoch for split in world.splits] == sorted(split.epoch for split in world.splits)
    assert max(Counter(ending.attempt for ending in world.endings).values(), default=0) <= 1
    opened = [event.attempt for event in world.events if event.kind == "push_seen"]
    assert opened == list(range(1, len(opened) + 1))
    assert all(ending.started <= ending.ended for ending in world.endings)
    if story.phase in (Phase.FAILED, Phase.SUCCEEDED, Phase.INITIALIZED):
        assert world.split.weight == 0


@GENTLE
@given(actions=ACTIONS)
def test_whatever_happened_a_bad_canary_ends_with_weight_0(
    actions: list[tuple[str, int]], new_story: Callable[..., Any]
) -> None:
    story = new_story()
    story.push(1)
    story.run(4)
    play(story, actions)
    world = story.world
    world.never_ready, world.crash_at, world.judge = set(), None, mood("bad")
    if story.target is None:
        story.push(2)
    story.run(60)
    assert world.split.weight == 0
    assert story.phase is not None
    assert story.phase.terminal


@GENTLE
@given(actions=ACTIONS)
def test_whatever_happened_a_good_push_comes_into_service(
    actions: list[tuple[str, int]], new_story: Callable[..., Any]
) -> None:
    story = new_story()
    play(story, actions)
    world = story.world
    world.never_ready, world.crash_at, world.judge = set(), None, mood("good")
    story.push(4)
    story.run(90)
    assert (world.split.primary.version, world.split.weight) == (4, 0)
    assert world.endings[-1].release.version == 4
    assert world.endings[-1].outcome in (Outcome.PROMOTED, Outcome.FIRST_RELEASE)
    assert sum(spec is not None for spec in world.tenants.values()) == 1


def outcome(story: Any) -> tuple[Any, ...]:
    world = story.world
    endings = [(e.attempt, e.release, e.primary, e.outcome, e.reason, e.baked) for e in world.endings]
    weights = [(e.attempt, e.weight) for e in world.events if e.kind == "weight"]
    return story.phase, world.split.primary, world.split.primary_slot, world.tenants, endings, weights


def tell(story: Any, *, verdict: str) -> None:
    """First release, a second one, and then what the judge says of it: in its trial, or in its bake."""
    world = story.world
    world.judge = lambda ask, world: mood("bad" if verdict == "bad" and world.now > 1012 else "good")(ask, world)
    if verdict == "bad late":
        world.judge = lambda ask, _world: mood("bad" if ask.phase is Phase.SUCCEEDED else "good")(ask, _world)
    story.push(1)
    story.run(4)
    story.push(2)
    story.run(40)


@pytest.mark.parametrize("verdict", ["good", "bad", "bad late"])
def test_a_death_at_any_line_leads_to_the_same_end(verdict: str, new_story: Callable[..., Any]) -> None:
    straight = new_story()
    tell(straight, verdict=verdict)
    wanted = outcome(straight)
    for at in range(1, straight.world.calls + 1, 3):
        story = new_story()
        story.world.crash_at = at
        tell(story, verdict=verdict)
        assert outcome(story) == wanted, f"died at call {at}"


@pytest.mark.parametrize(("verdict", "phase"), [("good", Phase.SUCCEEDED), ("bad", Phase.FAILED)])
def test_post_rollout_is_called_at_least_once_whoever_dies_when(
    verdict: str, phase: Phase, new_story: Callable[..., Any]
) -> None:
    straight = new_story()
    tell(straight, verdict=verdict)
    for at in range(1, straight.world.calls + 1, 3):
        story = new_story()
        story.world.crash_at = at
        tell(story, verdict=verdict)
        asked = [kind for kind, asked_in, _ in story.world.asked if asked_in is phase]
        assert "post-rollout" in asked, f"died at call {at}"


def test_a_start_after_a_death_puts_the_saved_weight_in_force_first(story: Any) -> None:
    world = story.world
    world.judge = lambda ask, _world: Answer(
        Said.NO if ask.kind in {"rollback", "confirm-promotion"} else Said.YES, "x"
    )
    story.push(2)
    story.run(6)
    assert world.split.weight == 50
    before, story.rollout = world.split, None
    world.split = None
    world.log.clear()
    story.run(0.5)
    assert world.log[0] == "edge 50"
    assert world.split == before
