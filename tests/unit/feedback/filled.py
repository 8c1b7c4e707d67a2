"""A state folder whose services have worked: predictions in their log, events in the feedback service's file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coalmine.feedback import token
from coalmine.feedback.capture import Prediction, PredictionLog
from coalmine.feedback.store import FeedbackStore
from coalmine.records import Event, Kind, ReleaseId
from coalmine.settings import Settings

RELEASE = ReleaseId(2, "abcdef1")


def settings_in(folder: Path, **more: object) -> Settings:
    return Settings.model_validate({"project": folder, "state": folder / "state", "model": "m", **more})


def a_prediction(text: str = "fine", *, tenant: str = "default", t: float | None = None) -> Prediction:
    made = token.mint()
    output = {"label": "positive", "score": 0.75}
    at = token.predicted_at(made) if t is None else t
    return Prediction(made, at, str(RELEASE), 2, "d", text, output, 1.5, "canary", tenant, (0.5, -1.0))


def an_event(
    row: Prediction,
    number: int,
    kind: Kind,
    value: float | None = None,
    correction: str = "",
    user: str = "ann",
) -> Event:
    return Event(
        f"e{row.id}{number}",
        *(row.id, RELEASE, row.t, row.t + number, kind, value, correction, user, row.tenant),
    )


def log(settings: Settings, rows: Sequence[Prediction]) -> None:
    written = PredictionLog(settings.predictions, RELEASE)
    for row in rows:
        written.put(row)
    written.close()


def say(settings: Settings, events: Sequence[Event]) -> None:
    store = FeedbackStore(settings.feedback_database)
    store.add_all(events)
    store.close()
