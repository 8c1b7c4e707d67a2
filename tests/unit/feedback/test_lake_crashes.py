"""kill -9 of a process that works on the lake: the next one goes on, nothing is lost and nothing comes twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coalmine.feedback import upkeep
from coalmine.feedback.erasure import erase
from coalmine.feedback.lake import Lake
from coalmine.records import Kind, Query
from coalmine.settings import Settings
from unit.feedback.filled import a_prediction, an_event, log, say, settings_in

# Small steps, so that there are many moments to die in.
WORK = """
import sys
from coalmine.feedback import ingest
from coalmine.feedback.lake import Lake
from coalmine.settings import Settings
ingest.CHUNK, ingest.EVENTS = 6000, 20
lake = Lake.open(Settings.model_validate_json(sys.argv[1]))
print("begins", flush=True)
lake.ingest()
lake.join()
print("done", flush=True)
"""
ERASE = """
import sys
from coalmine.feedback.erasure import erase
from coalmine.feedback.lake import Lake
from coalmine.settings import Settings
lake = Lake.open(Settings.model_validate_json(sys.argv[1]))
print("begins", flush=True)
erase(lake, user="ann")
print("done", flush=True)
"""


def killed(script: str, settings: Settings, *, after: float) -> bool:
    """Run it, and kill it so many seconds after it has begun. Returns whether it was done before."""
    command = [sys.executable, "-c", script, settings.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begins\n"
        time.sleep(after)
        child.kill()
        return child.stdout.read() == "done\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ingest_and_join_go_on_after_kill_9(tmp_path: Path) -> None:
    """Five deaths at moments drawn by lot, with more to take in each time."""
    settings, draw = settings_in(tmp_path), random.Random(7)
    ids, said = [], []
    for _ in range(5):
        rows = [a_prediction(f"text {number}") for number in range(100)]
        events = [an_event(row, number, Kind.THUMB, 1.0, user="") for row in rows[:40] for number in (1, 2)]
        log(settings, rows)
        say(settings, events)
        ids += [row.id for row in rows]
        said += [event.id for event in events]
        killed(WORK, settings, after=draw.uniform(0.0, 1.0))
    lake = Lake.open(settings)
    lake.ingest()
    lake.join()
    assert sorted(lake.predictions().collect()["id"]) == sorted(ids)
    assert sorted(lake.query(Query("feedback")).collect()["event_id"]) == sorted(said)
    labels = lake.labels().collect()
    assert (labels.height, labels["prediction"].n_unique(), set(labels["events"])) == (200, 200, {2})
    assert all(finding.ok for finding in upkeep.check(lake))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_erasure_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    """Also where the rows, by which older versions would be found, are gone already."""
    settings, draw = settings_in(tmp_path), random.Random(3)
    rows = [a_prediction("a secret text") for _ in range(5)]
    other = a_prediction("another text")
    log(settings, [*rows, other])
    say(
        settings,
        [*(an_event(row, 1, Kind.THUMB, 1.0) for row in rows), an_event(other, 1, Kind.CLICK, 1.0, user="bob")],
    )
    lake = Lake.open(settings)
    lake.ingest()
    lake.join()
    for _ in range(3):
        killed(ERASE, settings, after=draw.uniform(0.0, 0.5))
    erase(lake, user="ann")
    assert lake.predictions().collect()["id"].to_list() == [other.id]
    files = [path for path in (settings.state / "lake").rglob("*.parquet") if "predictions/day=" in str(path)]
    assert [path for path in files if b"a secret text" in path.read_bytes()] == []
    assert not (settings.ingest / "erasing.json").exists()
