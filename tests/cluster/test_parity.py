"""The one-machine rollout against the real Flagger: the same script to both, the same phases, weights and calls.

Without an engine the machine is held to what the real Flagger did when it was recorded (`parity/histories`); with one
(`-m cluster`) the real Flagger is played anew and held to its record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.parity import flagger, histories, ours
from cluster.parity.differences import DIFFERENCES, ELSEWHERE
from cluster.parity.drawn import drawn
from cluster.parity.fakes import Answers
from cluster.parity.flagger import Played
from cluster.parity.script import NO, YES, Change, Script
from cluster.parity.scripts import SCRIPTS
from cluster.parity.trace import Trace

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference/canary.md"
BY_NAME = {script.name: script for script in SCRIPTS}
each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
DRAWN = tuple(drawn(seed) for seed in range(30))
each_difference = pytest.mark.parametrize("name", sorted(DIFFERENCES))


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    with Answers() as running:
        yield running


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return flagger.play(SCRIPTS, tmp_path_factory.mktemp("flagger"))


@pytest.fixture(scope="module")
def played_drawn(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return flagger.play(DRAWN, tmp_path_factory.mktemp("drawn"))


@each_script
def test_phases_weights_counts_and_calls_are_those_of_the_real_flagger_but_for_what_is_named(
    script: Script, answers: Answers, tmp_path: Path
) -> None:
    theirs, mine = histories.recorded(script), ours.play(script, answers, tmp_path).named()
    difference = DIFFERENCES.get(script.name)
    if difference is None:
        assert rows(mine) == rows(theirs)
        assert mine == theirs
        return
    since = difference.since
    assert rows(mine)[:since] == rows(theirs)[:since]
    assert tuple(rows(theirs)[since:]) == difference.flagger
    assert tuple(rows(mine)[since:]) == difference.ours
    assert mine.ticks[since] != theirs.ticks[since]


@pytest.mark.cluster
@pytest.mark.timeout(1800)  # the first run builds the API server and Flagger
@each_script
def test_the_real_flagger_does_what_was_recorded(script: Script, played: Played) -> None:
    theirs = played.traces[script.name].named()
    assert rows(theirs) == rows(histories.recorded(script))
    assert theirs == histories.recorded(script)


@pytest.mark.cluster
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("script", DRAWN, ids=lambda script: script.name)
def test_a_script_drawn_by_lot_ends_alike_on_both_sides(
    script: Script, played_drawn: Played, answers: Answers, tmp_path: Path
) -> None:
    theirs, mine = played_drawn.traces[script.name].named(), ours.play(script, answers, tmp_path).named()
    assert rows(mine) == rows(theirs)
    assert mine == theirs


@each_difference
def test_a_difference_is_named_in_the_reference(name: str) -> None:
    assert DIFFERENCES[name].title in titles()


def test_the_reference_names_no_difference_that_no_test_shows() -> None:
    shown = {difference.title for difference in DIFFERENCES.values()} | set(ELSEWHERE)
    assert titles() == shown
    for test in ELSEWHERE.values():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text()


def test_every_recording_has_its_script() -> None:
    assert {path.stem for path in histories.FOLDER.glob("*.json")} == set(BY_NAME)


def test_rollback_is_asked_between_the_ticks_too(answers: Answers, tmp_path: Path) -> None:
    script = Script(
        "watched", "A yes between two ticks.", 6, {2: Change(release="v2"), 5: Change(hooks={"rollback": YES})}
    )
    mine = ours.play(script, answers, tmp_path, moments=(0.0, 0.5, 1.0))
    asked = [[call.name for call in tick.calls].count("rollback") for tick in mine.ticks]
    assert asked == [0, 0, 2, 3, 3, 1]
    assert mine.ticks[-1].phase == "Failed"


def test_a_push_takes_the_canarys_traffic_away_between_the_ticks(answers: Answers, tmp_path: Path) -> None:
    """With an interval of 150 s the driver's moments at 100, 400, 700 ... s lie between two ticks."""
    at = {2: Change(release="v2", hooks={"confirm-promotion": NO}), 7: Change(release="v3")}
    script = Script("pushed", "A push between two ticks.", 8, at, analysis={"interval": "150s"})
    mine = ours.play(script, answers, tmp_path)
    assert [tick.weight for tick in mine.ticks] == [0, 0, 0, 10, 10, 50, 50, 0]
    assert (mine.ticks[6].phase, mine.ticks[7].phase) == ("WaitingPromotion", "Progressing")


def test_an_interval_below_10_seconds_is_kept(answers: Answers, tmp_path: Path) -> None:
    script = Script("short", "An interval of a second.", 4, {2: Change(release="v2")}, analysis={"interval": "1s"})
    mine = ours.play(script, answers, tmp_path, moments=(0.0, 1.0, 2.0))
    assert [tick.weight for tick in mine.ticks] == [0, 0, 50, 0]
    assert mine.phases[-1] == "Succeeded"


def rows(trace: Trace) -> list[str]:
    return [str(tick) for tick in trace.ticks]


def titles() -> set[str]:
    """The first column of the reference's table of differences."""
    section = REFERENCE.read_text().partition("## Where it differs from Flagger")[2]
    return {match[1] for match in re.finditer(r"^\| ([^|]+?) +\| ", section, re.MULTILINE)} - {"what", "---"}
