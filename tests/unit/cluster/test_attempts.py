"""From any history of looks each attempt's end is told once, with the release that it was about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.cluster.attempts import End, Kind, Track, bake_failed, baked, follow
from coalmine.cluster.seen import Seen
from coalmine.records import Outcome, ReleaseId

from .histories import M1, M2, M3, Flagger

FIRST, PROMOTED, BACK, SUPERSEDED = (
    Outcome.FIRST_RELEASE,
    Outcome.PROMOTED,
    Outcome.ROLLED_BACK,
    Outcome.SUPERSEDED,
)


@dataclass
class Watcher:
    """Looks when told to, and at everything twice."""

    flagger: Flagger = field(default_factory=Flagger)
    track: Track | None = None
    ends: list[End] = field(default_factory=list)

    def look(self, *steps: Callable[[], object]) -> Watcher:
        """After each step, or just now where none is given."""
        for step in steps or (lambda: None,):
            step()
            self.at(self.flagger.look())
        return self

    def at(self, seen: Seen) -> None:
        self.track, ends = follow(self.track, seen)
        self.ends += ends
        again = follow(self.track, seen)
        assert again == (self.track, ()), "the same look told something new"

    @property
    def told(self) -> list[tuple[int, ReleaseId, Outcome, ReleaseId | None]]:
        return [(end.attempt, end.release, end.outcome, end.primary) for end in self.ends]

    def canary(self, release: ReleaseId) -> Watcher:
        """It is pushed, begins, and has 25 %."""
        f = self.flagger
        return self.look(lambda: f.push(release), f.progressing, lambda: f.weight(5), lambda: f.weight(25))


@pytest.fixture
def serving() -> Watcher:
    """m1 is the first release, and seen to be."""
    watcher = Watcher()
    f = watcher.flagger
    return watcher.look(lambda: f.push(M1), f.initializing, f.initialized)


def test_a_first_release_is_told_when_it_is_initialized(serving: Watcher) -> None:
    assert serving.told == [(1, M1, FIRST, M1)]


def test_a_good_release_is_promoted_and_bakes(serving: Watcher) -> None:
    f = serving.flagger
    serving.canary(M2).look(f.waiting_promotion, f.promoting, f.finalising, f.succeeded)
    assert serving.told[1:] == [(2, M2, PROMOTED, M2)]
    assert serving.track is not None
    assert serving.track.bake is not None
    assert (serving.track.bake.release, serving.track.bake.before) == (M2, M1)


def test_a_bad_release_is_rolled_back_to_what_serves(serving: Watcher) -> None:
    serving.canary(M2).look(serving.flagger.failed)
    assert serving.told[1:] == [(2, M2, BACK, M1)]
    assert serving.ends[1].weight == 25
    assert serving.ends[1].started < serving.ends[1].ended == serving.flagger.t


def test_a_failed_canary_that_flagger_writes_at_each_tick_is_told_once(serving: Watcher) -> None:
    f = serving.flagger
    serving.canary(M2).look(f.failed, f.resync, f.resync, lambda: f.push(M1), f.resync, f.resync)
    assert len(serving.ends) == 2


def test_failed_checks_are_remembered_though_the_status_forgets_them(serving: Watcher) -> None:
    f = serving.flagger
    serving.canary(M2).look(lambda: f.checks_failed(29), lambda: f.checks_failed(30), f.failed)
    assert (serving.ends[1].failed_checks, serving.ends[1].threshold) == (30, 30)


def test_a_push_during_the_canary_supersedes_it_and_is_an_attempt_of_its_own(serving: Watcher) -> None:
    f = serving.flagger
    serving.canary(M2).look(lambda: f.push(M3)).look(f.progressing, lambda: f.weight(5), *[f.promoting, f.finalising])
    serving.look(f.succeeded)
    assert serving.told[1:] == [(2, M2, SUPERSEDED, M1), (3, M3, PROMOTED, M3)]
    assert serving.ends[1].note == f"{M3} was pushed during the canary"


def test_a_revert_during_the_canary_supersedes_it_and_what_follows_is_no_release(serving: Watcher) -> None:
    """Flagger goes on with pods of the old release, lets them in under the new one's hash, and tries them again."""
    f = serving.flagger
    serving.canary(M2).look(lambda: f.push(M1), lambda: f.weight(50), f.promoting, f.finalising, f.succeeded)
    assert serving.told[1:] == [(2, M2, SUPERSEDED, M1)]
    assert serving.ends[1].note == f"main went back to {M1}"
    serving.look(f.progressing, f.promoting, f.finalising, f.succeeded)
    assert [(end.kind, end.outcome) for end in serving.ends[2:]] == [(Kind.CONFIG, PROMOTED)]


def test_a_failure_and_the_push_that_follows_it_are_told_apart_by_the_open_attempt(serving: Watcher) -> None:
    """The target names m3 already when the failure is first seen: m2 failed."""
    f = serving.flagger
    serving.canary(M2)
    f.failed()
    f.push(M3)
    serving.look().look(f.resync, f.progressing)
    assert serving.told[1:] == [(2, M2, BACK, M1)]


def test_a_failure_first_seen_after_the_next_push_is_that_of_the_one_under_way(serving: Watcher) -> None:
    """Flagger took the target's new hash into the failed status already; with its next tick it begins m3."""
    f = serving.flagger
    serving.canary(M2)
    f.failed()
    f.push(M3).resync()
    serving.look()
    assert len(serving.ends) == 1
    serving.look(f.progressing)
    assert serving.told[1:] == [(2, M2, BACK, M1)]
    assert serving.track is not None
    assert serving.track.open is not None
    assert serving.track.open.release == M3


def test_a_failure_of_one_that_took_its_place_unseen_is_its_own(serving: Watcher) -> None:
    """Flagger leaves it at that: a second tick shows it."""
    f = serving.flagger
    serving.canary(M2)
    f.push(M3).progressing().failed()
    serving.look()
    assert len(serving.ends) == 1
    serving.look(f.resync)
    assert serving.told[1:] == [(2, M2, SUPERSEDED, M1), (3, M3, BACK, M1)]


def test_a_new_release_that_arrives_while_promoting_waits_for_its_own_attempt(serving: Watcher) -> None:
    f = serving.flagger
    serving.canary(M2).look(f.promoting, lambda: f.push(M3), f.finalising, f.succeeded, f.progressing, f.failed)
    assert serving.told[1:] == [(2, M2, PROMOTED, M2), (3, M3, BACK, M2)]


def test_what_flagger_let_in_unjudged_is_told_as_what_serves(serving: Watcher) -> None:
    """A push between Flagger's last look at the revision and its copy: the primary runs it, so the alias follows."""
    f = serving.flagger
    serving.canary(M2)
    f.push(M3)
    f.promoted()
    serving.look()
    assert serving.told[1:] == [(2, M2, SUPERSEDED, M3), (3, M3, PROMOTED, M3)]


def test_a_change_beside_the_release_file_is_an_attempt_of_its_own_kind(serving: Watcher) -> None:
    f = serving.flagger
    serving.look(lambda: f.push(M1, config="new"), f.progressing, f.failed)
    assert [(end.release, end.kind, end.outcome) for end in serving.ends[1:]] == [(M1, Kind.CONFIG, BACK)]


def test_a_first_release_that_never_comes_up_has_nothing_before_it() -> None:
    watcher = Watcher()
    f = watcher.flagger
    watcher.look(lambda: f.push(M1), f.initializing, f.failed)
    assert watcher.told == [(1, M1, BACK, None)]


def test_a_primary_that_does_not_take_the_promotion_is_a_failure_with_its_note(serving: Watcher) -> None:
    f = serving.flagger
    serving.canary(M2).look(f.promoting, lambda: f.failed(weight=100))
    assert serving.told[1:] == [(2, M2, BACK, M1)]
    assert "primary did not become ready" in serving.ends[1].note


def test_a_fault_in_the_bake_time_is_told_once_and_the_next_canary_of_the_old_one_goes_back(serving: Watcher) -> None:
    f = serving.flagger
    serving.canary(M2).look(f.promoting, f.finalising, f.succeeded)
    assert serving.track is not None
    serving.track, end = bake_failed(serving.track, t=f.t + 5)
    assert end is not None
    assert (end.attempt, end.release, end.primary, end.outcome, end.baked) == (2, M2, M1, BACK, True)
    assert bake_failed(serving.track, t=f.t + 6)[1] is None
    serving.look(lambda: f.push(M1), f.progressing, lambda: f.weight(5), f.promoting, f.finalising, f.succeeded)
    assert [(end.release, end.kind, end.outcome) for end in serving.ends[2:]] == [(M1, Kind.RETURN, PROMOTED)]
    assert (serving.track.returning, serving.track.bake) == (None, None)


def test_a_push_that_overtakes_the_way_back_is_judged_like_any_other(serving: Watcher) -> None:
    f = serving.flagger
    serving.canary(M2).look(f.promoting, f.finalising, f.succeeded)
    assert serving.track is not None
    serving.track, _ = bake_failed(serving.track, t=f.t)
    serving.look(lambda: f.push(M3), f.progressing, f.failed, lambda: f.push(M1), f.progressing, f.failed)
    assert [(end.release, end.kind) for end in serving.ends[2:]] == [(M3, Kind.RELEASE), (M1, Kind.RELEASE)]


def test_a_bake_that_is_over_cannot_fail(serving: Watcher) -> None:
    f = serving.flagger
    serving.canary(M2).look(f.promoting, f.finalising, f.succeeded)
    assert serving.track is not None
    assert bake_failed(baked(serving.track), t=f.t)[1] is None


def test_a_closer_that_was_down_tells_what_it_missed(serving: Watcher) -> None:
    f = serving.flagger
    f.push(M2).progressing().weight(25).promoted()
    serving.look()
    f.push(M3).progressing().failed()
    serving.look().look(f.resync)
    assert serving.told[1:] == [(2, M2, PROMOTED, M2), (3, M3, BACK, M2)]


@pytest.mark.parametrize("mended", [True, False])
def test_a_closer_without_memory_takes_on_a_failure_only_where_main_still_names_it(*, mended: bool) -> None:
    f = Flagger().served(M1).push(M2).progressing().failed()
    if mended:
        f.push(M1).resync()
    watcher = Watcher(f).look().look(f.resync)
    assert watcher.told == ([] if mended else [(1, M2, BACK, M1)])


def test_a_closer_without_memory_makes_the_alias_agree_with_what_serves() -> None:
    watcher = Watcher(Flagger().served(M1).push(M2).progressing().promoted()).look()
    assert watcher.told == [(1, M2, PROMOTED, M2)]


def test_a_canary_without_releases_is_none_of_ours() -> None:
    f = Flagger()
    f.push(M1)
    f.target = {"app": "other"}
    watcher = Watcher(f.initializing().initialized()).look()
    assert (watcher.told, watcher.track) == ([], Track())


STEPS = st.lists(
    st.sampled_from(["push", "begin", "weight", "check", "fail", "promote", "revert", "tick"]), max_size=40
)


@dataclass
class Play:
    """A history that Flagger could write, with what truly ended at each look."""

    flagger: Flagger = field(default_factory=lambda: Flagger().served(M1))
    version: int = 1
    serves: ReleaseId = M1
    trying: ReleaseId | None = None
    tried: ReleaseId = M1

    def step(self, step: str) -> str:
        wanted = ReleaseId.parse((self.flagger.target or {})["coalmine.dev/release"])
        if step == "push":
            self.version += 1
            self.flagger.push(ReleaseId(self.version, "abc1234"))
            return ""
        if self.trying is None:
            return self._rest(wanted, begins=step == "begin")
        if wanted != self.trying:
            truth = f"{self.trying} superseded"
            self._begin(wanted)
            return truth
        return self._go_on(step, self.trying)

    def _rest(self, wanted: ReleaseId, *, begins: bool) -> str:
        if begins and wanted not in (self.serves, self.tried):
            self._begin(wanted)
        elif self.flagger.status["phase"] == "Failed":
            self.flagger.resync()
        return ""

    def _begin(self, wanted: ReleaseId) -> None:
        self.flagger.progressing()
        self.trying = self.tried = wanted

    def _go_on(self, step: str, trying: ReleaseId) -> str:
        if step == "weight":
            self.flagger.weight(25)
        elif step == "check":
            self.flagger.checks_failed(int(self.flagger.status["failedChecks"]) + 1)
        elif step == "fail":
            self.flagger.failed()
            self.trying = None
            return f"{trying} rolled_back"
        elif step == "promote":
            self.flagger.promoted()
            self.serves, self.trying = trying, None
            return f"{trying} promoted"
        return ""


def _played(steps: list[str]) -> list[tuple[Seen, str]]:
    play = Play()
    looks = [(play.flagger.look(), "")]
    for step in steps:
        truth = play.step(step)
        looks.append((play.flagger.look(), truth))
    return looks


@given(STEPS)
def test_whoever_sees_each_write_tells_exactly_what_was(steps: list[str]) -> None:
    """A push that is seen before Flagger sees it supersedes a little earlier, and nothing else differs."""
    looks = _played(steps)
    watcher = Watcher()
    for seen, _ in looks:
        watcher.at(seen)
    told = [f"{end.release} {end.outcome}" for end in watcher.ends[1:]]
    truth = [words for _, words in looks if words]
    assert [words for words in told if "superseded" not in words] == [
        words for words in truth if "superseded" not in words
    ]
    assert len(set(told)) == len(told)


@settings(max_examples=300)
@given(STEPS, st.randoms(use_true_random=False))
def test_whoever_misses_looks_tells_nothing_that_was_not_and_nothing_twice(steps: list[str], chance: Random) -> None:
    looks = _played(steps)
    watcher = Watcher()
    for number, (seen, _) in enumerate(looks):
        if number in (0, len(looks) - 1) or chance.random() < 0.4:
            watcher.at(seen)
    told = [f"{end.release} {end.outcome}" for end in watcher.ends[1:]]
    truth = {words for _, words in looks if words}
    assert len(set(told)) == len(told)
    assert [words for words in told if "superseded" not in words and words not in truth] == []
