"""What is known when a run may be due, read from a state folder and its lake."""

from __future__ import annotations

from pathlib import Path

from coalmine.feedback.lake import Lake
from coalmine.pipeline.facts import gather
from coalmine.pipeline.plan import runs_of
from coalmine.records import Kind
from coalmine.settings import Settings
from unit.feedback.filled import a_prediction, an_event, log, say, settings_in


def labels(here: Settings) -> int | None:
    return gather(here, runs_of(here)).labels


def test_labels_are_counted_where_people_vote_and_else_in_the_lake(tmp_path: Path) -> None:
    """A pod has the lake and no feedback service: there its labels begin a run. With neither nothing can be counted."""
    here = settings_in(tmp_path)
    assert labels(here) is None
    assert not (here.state / "lake").exists()
    rows = [a_prediction(f"text {number}") for number in range(3)]
    log(here, rows)
    say(here, [an_event(row, 1, Kind.THUMB, 1.0) for row in rows])
    assert labels(here) == 3
    lake = Lake.open(here)
    lake.ingest()
    lake.join()
    elsewhere = settings_in(tmp_path / "pod", lake=str(here.state / "lake"))
    assert labels(elsewhere) == 3
