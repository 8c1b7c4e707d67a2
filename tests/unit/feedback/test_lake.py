"""The lake on disk: what services wrote becomes rows once, feedback becomes labels, snapshots stay what they were."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from coalmine.errors import BadInput, Refused
from coalmine.feedback import snapshots, upkeep
from coalmine.feedback.erasure import erase
from coalmine.feedback.exchange import take_file, write_file
from coalmine.feedback.lake import Lake
from coalmine.feedback.store import FeedbackStore
from coalmine.judge.sources.feedback import Votes
from coalmine.records import Kind, Query
from coalmine.settings import Settings
from unit.feedback.filled import a_prediction, an_event, log, say, settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def test_of_a_number_a_correction_is_the_label_and_good_within_the_tolerance(settings: Settings) -> None:
    """A thumb stays a thumb, and confirms no number; a correction alone is good or bad by how far off it was."""
    folder = settings.project / "bentos" / "m"
    folder.mkdir(parents=True)
    (folder / "gates.yaml").write_text(
        "schema: 1\ntolerance: 2\nfloors: {a: {r2: 0}}\nchampion: {no_worse_by: 1, measures: [r2], slices: [a]}\n"
    )
    rows = [dataclasses.replace(a_prediction(str(number)), output={"value": 10.5}) for number in range(4)]
    events = [
        an_event(rows[0], 1, Kind.CORRECTION, None, "12.5"),
        an_event(rows[1], 1, Kind.CORRECTION, None, "12.6"),
        an_event(rows[2], 1, Kind.THUMB, 1.0),
        an_event(rows[3], 1, Kind.CORRECTION, None, "nothing"),
    ]
    log(settings, rows)
    say(settings, events)
    lake = Lake.open(settings)
    lake.ingest()
    lake.join()
    found = {row["prediction"]: row for row in lake.labels().collect().to_dicts()}
    told = [(found[row.id]["predicted"], found[row.id]["label"], found[row.id]["good"]) for row in rows]
    assert told == [("10.5", "12.5", True), ("10.5", "12.6", False), ("10.5", None, True), ("10.5", "nothing", None)]


def test_files_become_rows_once_and_feedback_becomes_labels(settings: Settings) -> None:
    """Also when both are repeated; the latest correction wins."""
    rows = [a_prediction(f"text {number}") for number in range(5)]
    log(settings, rows)
    say(
        settings,
        [
            an_event(rows[0], 1, Kind.THUMB, 1.0),
            an_event(rows[1], 1, Kind.THUMB, 0.0, "neutral"),
            an_event(rows[1], 2, Kind.CORRECTION, None, "negative"),
            an_event(rows[2], 1, Kind.CLICK, 1.0),
        ],
    )
    lake = Lake.open(settings)
    took = lake.ingest()
    assert (took.predictions, took.feedback) == (5, 4)
    assert lake.ingest().predictions == 0
    assert lake.join().labels == 3
    assert lake.join().labels == 0
    assert lake.predictions().collect()["sketch"].to_list() == [[0.5, -1.0]] * 5
    assert set(lake.predictions().collect()["arm"]) == {"canary"}
    found = {row["prediction"]: row for row in lake.labels().collect().to_dicts()}
    assert [(found[row.id]["label"], found[row.id]["good"]) for row in rows[:3]] == [
        ("positive", True),
        ("negative", False),
        (None, None),
    ]
    assert found[rows[1].id]["events"] == 2


def test_a_prediction_that_comes_after_its_feedback_is_joined_then(settings: Settings) -> None:
    """And later words replace what was joined: one label for each prediction, also after a compaction."""
    early, late = a_prediction("early"), a_prediction("late")
    log(settings, [early])
    say(settings, [an_event(early, 1, Kind.THUMB, 1.0), an_event(late, 1, Kind.THUMB, 0.0)])
    lake = Lake.open(settings)
    lake.ingest()
    assert lake.join().labels == 1
    upkeep.compact(lake)
    assert lake.join().labels == 0
    log(settings, [late])
    say(settings, [an_event(early, 2, Kind.CORRECTION, None, "negative")])
    lake.ingest()
    assert lake.join().labels == 2
    found = {row["prediction"]: (row["label"], row["good"]) for row in lake.labels().collect().to_dicts()}
    assert found == {early.id: ("negative", False), late.id: (None, False)}


def test_rows_are_found_by_time_tenant_and_release(settings: Settings) -> None:
    """Half open in time; partitions of other days are passed over."""
    rows = [a_prediction(t=86_400.0 * day, tenant=tenant) for day in (1, 2, 3) for tenant in ("acme", "globex")]
    log(settings, rows)
    lake = Lake.open(settings)
    lake.ingest()
    assert lake.predictions(since=86_400.0 * 2).collect().height == 4
    assert lake.predictions(until=86_400.0 * 2, tenant="acme").collect()["t"].to_list() == [86_400.0]
    assert lake.predictions(release="m9-abcdef1").collect().height == 0
    with pytest.raises(BadInput, match="no table 'votes'"):
        lake.query(Query("votes"))


def test_lost_notes_or_another_file_of_feedback_bring_nothing_twice(settings: Settings) -> None:
    """A state folder put back from a copy is read again from its beginning."""
    rows = [a_prediction(f"text {number}") for number in range(3)]
    log(settings, rows)
    say(settings, [an_event(rows[0], 1, Kind.THUMB, 1.0)])
    lake = Lake.open(settings)
    lake.ingest()
    for note in settings.ingest.glob("*-1.json"):
        note.unlink()
    log(settings, [a_prediction("new")])
    settings.feedback_database.unlink()
    say(settings, [an_event(rows[0], 1, Kind.THUMB, 1.0), an_event(rows[1], 1, Kind.THUMB, 1.0)])
    took = lake.ingest()
    assert (took.predictions, took.feedback) == (1, 1)
    assert lake.predictions().collect()["id"].n_unique() == 4


def test_a_snapshot_is_rebuilt_after_the_lake_has_gone_on(settings: Settings) -> None:
    """The same rows, by the same digest, from its JSON alone, after later words and a compaction."""
    rows = [a_prediction(tenant=tenant) for tenant in ("acme", "globex")]
    log(settings, rows)
    say(settings, [an_event(row, 1, Kind.THUMB, 1.0) for row in rows])
    lake = Lake.open(settings)
    lake.ingest()
    lake.join()
    taken = snapshots.snapshot(lake, Query(tenant="acme"))
    before = snapshots.rows(lake, taken)
    assert (taken.rows, before["prediction"].to_list()) == (1, [rows[0].id])
    say(settings, [an_event(rows[0], 5, Kind.CORRECTION, None, "negative")])
    lake.ingest()
    lake.join()
    upkeep.compact(lake)
    assert lake.labels(tenant="acme").collect()["label"].to_list() == ["negative"]
    again = snapshots.from_json(snapshots.to_json(taken))
    assert again == taken
    assert snapshots.rows(lake, again).equals(before)
    assert snapshots.named(lake, taken.digest[:8]) == taken
    assert snapshots.snapshot(lake, Query(tenant="acme")).digest != taken.digest
    assert all(finding.ok for finding in upkeep.check(lake))


def test_compaction_keeps_rows_and_lets_the_old_go(settings: Settings) -> None:
    """Few files, no row lost that is young enough, and none kept that is older."""
    lake = Lake.open(settings)
    for number in range(4):
        log(settings, [a_prediction(f"text {number}")])
        lake.ingest()
    log(settings, [a_prediction("old", t=86_400.0)])
    lake.ingest()
    done = {one.table: one for one in upkeep.compact(lake)}
    assert (done["predictions"].expired, done["predictions"].files_after) == (1, 1)
    assert sorted(lake.predictions().collect()["input"]) == [f"text {number}" for number in range(4)]
    assert lake.ingest().predictions == 0


def test_a_persons_data_is_erased_from_rows_old_versions_logs_and_votes(settings: Settings) -> None:
    """Nothing of it is left in any file of the state folder; who named it in a snapshot is told."""
    hers, other = a_prediction("the secret of ann"), a_prediction("what bob asked")
    log(settings, [hers, other])
    say(
        settings,
        [
            an_event(hers, 1, Kind.THUMB, 0.0, "secret word", "ann-of-acme"),
            an_event(other, 1, Kind.THUMB, 1.0, user="bob"),
        ],
    )
    lake = Lake.open(settings)
    lake.ingest()
    lake.join()
    taken = snapshots.snapshot(lake, Query())
    upkeep.compact(lake)
    gone = erase(lake, user="ann-of-acme")
    assert (gone.predictions, gone.rows, gone.lines, gone.events) == (1, 3, 1, 1)
    assert gone.snapshots == (taken.digest,)
    with pytest.raises(Refused, match="erased"):
        snapshots.rows(lake, taken)
    for path in settings.state.rglob("*"):
        assert not path.is_file() or not _tells(path, b"ann-of-acme", b"secret"), path
    assert lake.predictions().collect()["input"].to_list() == ["what bob asked"]
    assert lake.labels().collect()["prediction"].to_list() == [other.id]
    assert lake.ingest().predictions == 0
    with closing(sqlite3.connect(settings.feedback_database)) as db:
        assert db.execute("SELECT seq, good, user FROM votes ORDER BY seq").fetchall() == [(1, None, ""), (2, 1, "bob")]
    assert [label.user for label in Votes(settings.feedback_database).read({"seq": 0}).items] == ["bob"]
    assert erase(lake, user="ann-of-acme").predictions == 0
    assert all(finding.ok for finding in upkeep.check(lake))


def _tells(path: Path, *words: bytes) -> bool:
    if path.suffix == ".parquet":
        text = pl.read_parquet(path, hive_partitioning=False).write_json().encode()
        return any(word in text for word in words)
    return any(word in path.read_bytes() for word in words)


def test_feedback_goes_out_and_in_again(settings: Settings, tmp_path: Path) -> None:
    """An export imported elsewhere is the same rows, once however often; a wrong line is named."""
    rows = [a_prediction(f"text {number}") for number in range(3)]
    log(settings, rows)
    say(settings, [an_event(row, 1, Kind.RATING, 5.0) for row in rows])
    lake = Lake.open(settings)
    lake.ingest()
    file = tmp_path / "out" / "feedback.jsonl"
    assert write_file(lake, file, Query("feedback")) == 3
    other = Lake.open(settings_in(tmp_path / "other"))
    assert (take_file(other, file).added, take_file(other, file).added) == (3, 0)
    columns = ["event_id", "prediction", "t", "kind", "value", "user", "tenant"]
    assert (
        other.query(Query("feedback"))
        .select(columns)
        .sort("event_id")
        .collect()
        .equals(lake.query(Query("feedback")).select(columns).sort("event_id").collect())
    )
    file.write_text(file.read_text() + '{"prediction": "x", "release": "m1-abcdef1", "t": 1, "kind": "thumb"}\n')
    with pytest.raises(BadInput, match=r"feedback\.jsonl:4"):
        take_file(other, file)


def test_a_file_from_before_there_were_events_is_taken_whole(settings: Settings) -> None:
    """Its votes and the words after them become events, once."""
    store = FeedbackStore(settings.feedback_database)
    row = a_prediction()
    store.add_all([an_event(row, 1, Kind.THUMB, 1.0), an_event(row, 2, Kind.THUMB, 0.0)])
    store.close()
    with closing(sqlite3.connect(settings.feedback_database, isolation_level=None)) as db:
        db.execute("DROP TABLE events")
        db.execute("PRAGMA user_version = 0")
    FeedbackStore(settings.feedback_database).close()
    FeedbackStore(settings.feedback_database).close()
    lake = Lake.open(settings)
    assert lake.ingest().feedback == 2
    assert lake.query(Query("feedback")).collect()["value"].to_list() == [1.0, 0.0]
