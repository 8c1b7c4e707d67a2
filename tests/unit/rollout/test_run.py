"""The driver in a world of in-memory edge, arms, judge and disk: what users and the closer see."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from coalmine.records import Outcome, Phase, Slot
from coalmine.rollout.state import Answer, Ask, Said

Story = Any  # conftest's; a fixture has no importable type


def says(*yes: str, rollback: str = "") -> Callable[[Ask, Any], Answer]:
    """A judge that says yes to the hooks named, and to `rollback` with a reason if there is one."""

    def judge(ask: Ask, _world: Any) -> Answer:
        if ask.kind == "rollback":
            return Answer(Said.YES, rollback) if rollback else Answer(Said.NO, "no evidence")
        return Answer(Said.YES, f"{ask.kind} fine") if ask.kind in yes else Answer(Said.NO, "not yet")

    return judge


ALL = ("confirm-rollout", "pre-rollout", "confirm-traffic-increase", "confirm-promotion", "post-rollout")
UP_TO_MAX = ALL[:3]


def dead(_ask: Ask, _world: Any) -> Answer:
    return Answer(Said.UNREACHABLE, "connection refused")


def test_the_first_release_becomes_primary_without_a_single_hook(story: Story) -> None:
    world = story.world
    assert [(e.outcome, str(e.release), e.attempt) for e in world.endings] == [(Outcome.FIRST_RELEASE, "m1-abcdef0", 1)]
    assert world.asked == []
    assert (world.split.primary, world.split.weight) == (story.target.spec.release, 0)


def test_a_first_release_gets_no_traffic_before_it_is_ready(new_story: Callable[[], Story]) -> None:
    story = new_story()
    story.push(1)
    story.run(1)
    assert story.world.split.primary is None
    assert story.world.tenants[Slot.BLUE] == story.target.spec


def test_a_good_release_takes_the_steps_then_all_traffic_then_bakes_then_ends_promoted(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    story.run(30)
    assert story.phase is Phase.SUCCEEDED
    assert [e.weight for e in world.events if e.kind == "weight"] == [10, 50, 0]
    last = world.endings[-1]
    assert (last.outcome, last.attempt, last.baked, last.reason) == (
        Outcome.PROMOTED,
        2,
        True,
        "confirm-promotion fine",
    )
    assert world.split.primary_slot is Slot.GREEN
    assert world.tenants == {Slot.GREEN: story.target.spec, Slot.BLUE: None}


def test_a_rollback_gives_the_traffic_back_before_anything_is_saved_or_stopped(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    assert world.split.weight == 50
    world.log.clear()
    world.judge = says(*UP_TO_MAX, rollback="E = 2e4 against 100")
    story.run(1.5)
    after_yes = world.log[world.log.index("ask rollback") + 1 :]
    assert after_yes[:2] == ["edge 0", "edge done"]
    assert after_yes[2] == "save"
    ending = world.endings[-1]
    assert (ending.outcome, ending.reason, ending.baked) == (Outcome.ROLLED_BACK, "E = 2e4 against 100", False)
    assert str(ending.primary) == "m1-abcdef0"


def test_a_rolled_back_arm_is_stopped_only_after_its_requests_had_their_time(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    world.judge = says(rollback="bad")
    story.run(1.5)
    back = next(e.t for e in world.events if e.kind == "traffic_back")
    while world.now < back + 2.5:
        assert world.tenants[Slot.GREEN] is not None
        story.run(0.5)
    story.run(2)
    assert world.tenants[Slot.GREEN] is None


def test_the_same_release_is_not_tried_again_until_main_has_named_another(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX, rollback="bad")
    story.push(2)
    story.run(10)
    assert [e.attempt for e in world.endings] == [1, 2]
    story.push(1)  # the healing commit
    story.run(3)
    assert story.phase is Phase.FAILED
    story.push(2)
    story.run(10)
    assert [(e.attempt, e.outcome) for e in world.endings][2:] == [(3, Outcome.ROLLED_BACK)]


def test_a_new_push_during_a_canary_restarts_at_weight_0_in_a_clean_slot(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    story.push(3)
    story.run(0.5)
    assert world.split.weight == 0
    assert (world.endings[-1].outcome, world.endings[-1].release.version) == (Outcome.SUPERSEDED, 2)
    assert world.tenants[Slot.GREEN].release.version == 2  # its requests are still finishing
    story.run(10)
    assert world.tenants[Slot.GREEN].release.version == 3
    first = next(s for s in world.splits if s.canary and s.canary.version == 3 and s.weight)
    assert first.weight == 10
    weights = [(e.attempt, e.weight) for e in world.events if e.kind == "weight"]
    assert weights == [(2, 10), (2, 50), (2, 0), (3, 10), (3, 50)]


def test_a_revert_during_a_canary_ends_it_at_once_and_blames_nobody(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    story.push(1)
    story.run(1)
    assert (story.phase, world.split.weight, world.endings[-1].outcome) == (Phase.FAILED, 0, Outcome.SUPERSEDED)
    assert ("post-rollout", Phase.FAILED) in [(kind, phase) for kind, phase, _ in world.asked]
    story.run(10)
    assert len(world.endings) == 2


def test_of_two_pushes_in_one_second_the_last_one_runs(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    story.push(3)
    story.run(30)
    assert [(e.release.version, e.outcome) for e in world.endings] == [
        (1, Outcome.FIRST_RELEASE),
        (3, Outcome.PROMOTED),
    ]


@pytest.mark.parametrize("gap", [0.5, 1.0, 1.5, 2.0])
def test_a_push_at_any_moment_of_the_start_wins_over_the_one_before(story: Story, gap: float) -> None:
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    story.run(gap)
    story.push(3)
    story.run(40)
    assert (world.split.primary.version, world.endings[-1].outcome) == (3, Outcome.PROMOTED)


def test_a_canary_that_never_becomes_ready_fails_at_its_deadline(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    world.never_ready = {2}
    story.push(2)
    story.run(29)
    assert world.endings[1:] == []
    story.run(5)
    assert story.phase is Phase.FAILED
    assert world.endings[-1].reason == "progress deadline exceeded: loading"
    assert all(s.weight == 0 for s in world.splits)


def test_a_failed_first_release_is_withdrawn_and_may_come_again(new_story: Callable[[], Story]) -> None:
    story = new_story()
    story.world.never_ready = {1}
    story.push(1)
    story.run(40)
    assert [(e.outcome, e.primary) for e in story.world.endings] == [(Outcome.ROLLED_BACK, None)]
    first, story.target = story.target, None
    story.run(2)
    assert story.world.tenants[Slot.BLUE] is None
    story.world.never_ready = set()
    story.target = first
    story.run(5)
    assert story.phase is Phase.INITIALIZED


def test_a_fault_in_the_bake_goes_back_to_the_arm_that_stayed_warm(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    while story.phase is not Phase.SUCCEEDED:
        story.run(0.5)
    assert world.tenants[Slot.BLUE].release.version == 1
    world.judge = says(*ALL, rollback="1.4 % of requests fail, 1 % tolerated")
    story.run(1.5)
    assert (world.split.primary.version, world.split.primary_slot, story.phase) == (1, Slot.BLUE, Phase.FAILED)
    ending = world.endings[-1]
    assert (ending.outcome, ending.baked, ending.primary.version) == (Outcome.ROLLED_BACK, True, 1)
    assert ("rollback", Phase.SUCCEEDED) in [(kind, phase) for kind, phase, _ in world.asked]
    assert len([e for e in world.endings if e.attempt == ending.attempt]) == 1


def test_a_push_while_baking_waits_and_the_status_says_so(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    while story.phase is not Phase.SUCCEEDED:
        story.run(0.5)
    story.push(3)
    story.run(1)
    status = story.rollout.status(story.target)
    assert (status.queued, status.phase) == ("m3-abcdef0", "Succeeded")
    assert 0 < status.bake_left < 5
    story.run(40)
    assert world.split.primary.version == 3


def test_taking_a_release_back_by_hand_in_the_bake_needs_no_second_canary(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    while story.phase is not Phase.SUCCEEDED:
        story.run(0.5)
    story.push(1)
    story.run(0.5)
    assert (world.split.primary.version, world.endings[-1].outcome) == (1, Outcome.SUPERSEDED)


def test_a_promoted_arm_that_stays_down_in_the_bake_goes_back_without_a_judge(
    new_story: Callable[..., Story], make_canary: Any
) -> None:
    story = new_story(make_canary(spec={"progressDeadlineSeconds": 3}))
    story.push(1)
    story.run(4)
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    while story.phase is not Phase.SUCCEEDED:
        story.run(0.5)
    world.never_ready = {2}
    story.run(4.5)
    assert (world.split.primary.version, world.endings[-1].outcome) == (1, Outcome.ROLLED_BACK)


def test_a_dead_judge_holds_the_weight_then_gives_the_traffic_back_and_fails_nobody(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    world.judge = dead
    story.run(18)
    assert (world.split.weight, story.phase) == (50, Phase.WAITING_PROMOTION)
    story.run(5)
    assert (world.split.weight, story.phase) == (0, Phase.PROGRESSING)
    assert len(world.endings) == 1
    world.judge = says(*ALL)
    story.run(30)
    assert world.endings[-1].outcome is Outcome.PROMOTED


def test_a_dead_judge_prolongs_the_bake_up_to_its_silence(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    while story.phase is not Phase.SUCCEEDED:
        story.run(0.5)
    world.judge = dead
    story.run(15)
    assert world.tenants[Slot.BLUE].release.version == 1
    story.run(15)
    assert world.endings[-1].outcome is Outcome.PROMOTED


def test_failed_checks_are_compared_at_the_start_of_a_tick(new_story: Callable[..., Story], make_canary: Any) -> None:
    story = new_story(make_canary(hooks=("rollout",), threshold=2))
    story.push(1)
    story.run(4)
    world = story.world
    world.judge = says()
    story.push(2)
    while world.split.weight == 0:
        story.run(0.5)
    exposed = world.now
    while story.phase is Phase.PROGRESSING:
        story.run(0.5)
    assert 3.0 <= world.now - exposed <= 3.5  # (threshold + 1) intervals
    assert world.endings[-1].reason == "failed checks threshold reached: 2, last rollout: not yet"


def test_a_rollback_stays_in_force_while_the_disk_is_full(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    world.judge = says(rollback="bad")
    world.disk_full = True
    seen = len(world.splits)
    for _ in range(10):
        world.now += 0.5
        with contextlib.suppress(OSError):
            story.rollout.tick(story.target)
    assert [s.weight for s in world.splits[seen:]] == [0]
    world.disk_full = False
    story.run(2)
    assert world.endings[-1].outcome is Outcome.ROLLED_BACK


def test_rollback_is_asked_twice_a_second_though_the_interval_is_a_minute(story: Story, make_canary: Any) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(3)
    story.configure(make_canary(interval="1m"))
    story.run(2)
    world.asked.clear()
    story.run(10)
    assert 18 <= [kind for kind, *_ in world.asked].count("rollback") <= 21


def test_the_record_holds_what_benchmarks_and_reports_need(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    world.judge = says(rollback="bad")
    story.run(2)
    kinds = [e.kind for e in world.events if e.attempt == 2 and e.kind not in {"note", "warning", "phase"}]
    assert kinds == ["push_seen", "arm_started", "ready", "weight", "weight", "weight", "verdict", "traffic_back"]
    times = [e.t for e in world.events]
    assert times == sorted(times)


def test_suspend_stops_everything_where_it_is(story: Story, make_canary: Any) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    story.configure(make_canary(spec={"suspend": True}))
    world.asked.clear()
    story.run(5)
    assert (world.asked, world.split.weight) == ([], 50)


def test_the_judge_is_told_of_the_end_at_once_with_flaggers_phase(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    while story.phase is not Phase.SUCCEEDED:
        story.run(0.5)
    assert world.asked[-1][:2] in [("post-rollout", Phase.SUCCEEDED), ("rollback", Phase.SUCCEEDED)]
    assert ("post-rollout", Phase.SUCCEEDED) in [entry[:2] for entry in world.asked]
    world.judge = says(*ALL, rollback="bad")
    while len(world.endings) < 2:
        story.run(0.5)
    assert world.asked[-1][:2] == ("post-rollout", Phase.FAILED)


def test_the_old_arm_is_stopped_as_soon_as_the_bake_is_over(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    story.push(2)
    while len(world.endings) < 2:
        story.run(0.5)
    story.run(1)
    assert world.tenants[Slot.BLUE] is None


def test_the_time_that_a_slot_drains_is_not_taken_from_the_next_arms_deadline(
    new_story: Callable[..., Story], make_canary: Any
) -> None:
    story = new_story(make_canary(spec={"progressDeadlineSeconds": 2}))
    story.push(1)
    story.run(4)
    story.world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    story.push(3)
    story.run(10)
    assert (story.world.split.canary.version, story.world.split.weight) == (3, 50)


def test_a_canary_that_had_no_traffic_leaves_its_slot_at_once(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(6)
    world.judge = says("confirm-rollout")
    story.push(3)
    story.run(6)
    story.push(4)
    story.run(1)
    assert world.tenants[Slot.GREEN].release.version == 4


def test_an_arm_that_cannot_be_started_is_one_that_never_becomes_ready(story: Story) -> None:
    world = story.world
    world.judge = says(*ALL)
    start = world.ensure

    def ensure(slot: Slot, release: Any, faults: str) -> None:
        if release.version == 2:
            raise OSError("no such Bento")
        start(slot, release, faults)

    world.ensure = ensure
    story.push(2)
    story.run(36)
    assert world.endings[-1].reason == "progress deadline exceeded: no such Bento"


def test_while_the_edge_does_not_obey_no_step_is_taken_but_the_judge_is_heard(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    while world.split.weight != 10:
        story.run(0.5)
    obey = world.apply

    def refuse(split: Any) -> None:
        if split.weight:
            raise OSError("read-only file system")
        obey(split)

    world.apply = refuse
    for _ in range(10):
        world.now += 0.5
        with contextlib.suppress(OSError):
            story.rollout.tick(story.target)
    assert story.rollout.state.weight == 50  # one step was decided; the edge never took it
    assert world.split.weight == 10
    world.judge = says(rollback="bad")
    for _ in range(4):
        world.now += 0.5
        with contextlib.suppress(OSError):
            story.rollout.tick(story.target)
    assert (world.split.weight, story.phase) == (0, Phase.FAILED)


def test_a_clock_that_was_set_back_does_not_stop_the_rollout(story: Story) -> None:
    world = story.world
    world.judge = says(*UP_TO_MAX)
    story.push(2)
    story.run(3)
    world.now -= 900
    world.since = dict.fromkeys(Slot, 0.0)  # the arms are as they were
    world.asked.clear()
    story.run(3)
    assert [kind for kind, *_ in world.asked].count("rollback") >= 3


def test_an_arm_that_died_is_started_again_on_every_tick(story: Story) -> None:
    story.world.tenants[Slot.BLUE] = None  # kill -9
    story.run(0.5)
    assert story.world.tenants[Slot.BLUE] == story.target.spec
