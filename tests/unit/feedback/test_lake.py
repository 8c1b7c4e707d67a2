"""The lake on disk: what services wrote becomes rows once, feedback becomes labels, snapshots stay what they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from coalmine.feedback import snapshots, token
from coalmine.feedback.capture import Prediction, PredictionLog
from coalmine.feedback.lake import Lake
from coalmine.feedback.store import FeedbackStore
from coalmine.records import Event, Kind, Query, ReleaseId
from coalmine.settings import Settings

RELEASE = ReleaseId(2, "abcdef1")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(project=tmp_path, state=tmp_path / "state", model="m")


def a_prediction(text: str = "fine", *, tenant: str = "default") -> Prediction:
    made = token.mint()
    output = {"label": "positive", "score": 0.75}
    return Prediction(made, token.predicted_at(made), str(RELEASE), 2, "d", text, output, 1.5, "canary", tenant)


def an_event(row: Prediction, number: int, kind: Kind, value: float | None = None, correction: str = "") -> Event:
    at = row.t + number
    return Event(f"e{row.id}{number}", row.id, RELEASE, row.t, at, kind, value, correction, "ann", row.tenant)


def write(settings: Settings, rows: list[Prediction], events: list[Event]) -> None:
    log = PredictionLog(settings.predictions, RELEASE)
    for row in rows:
        log.put(row)
    log.close()
    store = FeedbackStore(settings.feedback_database)
    store.add_all(events)
    store.close()


def test_files_become_rows_once_and_feedback_becomes_labels(settings: Settings) -> None:
    """Also when both are repeated; the latest correction wins."""
    rows = [a_prediction(f"text {number}") for number in range(5)]
    events = [
        an_event(rows[0], 1, Kind.THUMB, 1.0),
        an_event(rows[1], 1, Kind.THUMB, 0.0, "neutral"),
        an_event(rows[1], 2, Kind.CORRECTION, None, "negative"),
        an_event(rows[2], 1, Kind.CLICK),
    ]
    write(settings, rows, events)
    lake = Lake.open(settings)
    took = lake.ingest()
    assert (took.predictions, took.feedback) == (5, 4)
    assert lake.ingest().predictions == 0
    assert lake.join().labels == 3
    assert lake.join().labels == 0
    assert lake.predictions().collect().height == 5
    assert set(lake.predictions().collect()["arm"]) == {"canary"}
    found = {row["prediction"]: row for row in lake.labels().collect().to_dicts()}
    assert [(found[row.id]["label"], found[row.id]["good"]) for row in rows[:3]] == [
        ("positive", True),
        ("negative", False),
        (None, None),
    ]
    assert found[rows[1].id]["events"] == 2


def test_a_snapshot_is_rebuilt_after_the_lake_has_gone_on(settings: Settings) -> None:
    """The same rows, by the same digest, from its JSON alone."""
    rows = [a_prediction(tenant=tenant) for tenant in ("acme", "globex")]
    write(settings, rows, [an_event(row, 1, Kind.THUMB, 1.0) for row in rows])
    lake = Lake.open(settings)
    lake.ingest()
    lake.join()
    taken = snapshots.snapshot(lake, Query(tenant="acme"))
    before = snapshots.rows(lake, taken)
    assert (taken.rows, before["prediction"].to_list()) == (1, [rows[0].id])
    write(settings, [], [an_event(rows[0], 5, Kind.CORRECTION, None, "negative")])
    lake.ingest()
    lake.join()
    assert lake.labels(tenant="acme").collect()["label"].to_list() == ["negative"]
    again = snapshots.from_json(snapshots.to_json(taken))
    assert again == taken
    assert snapshots.rows(lake, again).equals(before)
    assert snapshots.snapshot(lake, Query(tenant="acme")).digest != taken.digest
