"""The join's invariants, on drawn feedback: the order of arrival, repeats and increments change nothing."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.feedback.ingest import event_row, prediction_row
from coalmine.feedback.joining import labels
from coalmine.feedback.lake import Lake
from coalmine.feedback.tables import FEEDBACK, LABELS, PREDICTIONS, frame
from coalmine.records import Event, Kind
from unit.feedback.filled import a_prediction, an_event, settings_in

ROWS = [a_prediction(f"text {number}") for number in range(4)]
WORDS = ("positive", "negative", "neutral")


@st.composite
def an_event_drawn(draw: st.DrawFn) -> Event:
    """Of one of four predictions; few moments, so that some are of the same."""
    kind = draw(st.sampled_from(list(Kind)))
    value = {Kind.THUMB: st.sampled_from([0.0, 1.0]), Kind.RATING: st.sampled_from([1.0, 3.0, 5.0])}.get(kind)
    correction = st.sampled_from(WORDS) if kind is Kind.CORRECTION else st.sampled_from(["", *WORDS])
    return dataclasses.replace(
        an_event(draw(st.sampled_from(ROWS)), draw(st.integers(1, 3)), kind),
        id=f"e{draw(st.integers(0, 30))}",
        value=draw(value) if value is not None else None,
        correction=draw(correction) if kind.explicit else "",
    )


EVENTS = st.lists(an_event_drawn(), max_size=14, unique_by=lambda event: event.id)


def made(events: list[Event]) -> list[dict[str, object]]:
    predictions = frame(PREDICTIONS, [prediction_row(row) for row in ROWS]).lazy()
    said = frame(FEEDBACK, [event_row(event) for event in events]).lazy()
    return labels(predictions, said).sort("prediction").collect().to_dicts()


@given(events=EVENTS, seed=st.integers())
def test_the_order_of_arrival_changes_nothing(events: list[Event], seed: int) -> None:
    """Nor does a repetition."""
    other = [*events, *events[:3]]
    random.Random(seed).shuffle(other)
    assert made(other) == made(events)


@given(events=EVENTS)
def test_a_label_is_what_was_said_last(events: list[Event]) -> None:
    """By a slow reading of the same rules, event by event."""
    expected = []
    for row in sorted(ROWS, key=lambda row: row.id):
        mine = sorted((event for event in events if event.prediction == row.id), key=lambda event: (event.t, event.id))
        if mine:
            good, correction = _read(mine)
            label = correction or ("positive" if good else None)
            expected.append((row.id, label, good, len(mine), mine[-1].t))
    columns = ("prediction", "label", "good", "events", "labelled_at")
    assert [tuple(row[column] for column in columns) for row in made(events)] == expected


def _read(mine: list[Event]) -> tuple[bool | None, str]:
    good: bool | None = None
    correction = ""
    for event in mine:
        correction = event.correction or correction
        if event.kind is Kind.THUMB:
            good = event.value == 1.0
        elif event.kind is Kind.RATING and event.value != 3.0:
            good = event.value == 5.0
        elif event.correction:
            good = event.correction == "positive"
    return good, correction


@settings(max_examples=8)
@given(events=EVENTS, cuts=st.tuples(st.integers(0, 14), st.integers(0, 4)))
def test_a_join_by_increments_is_the_join_of_all(events: list[Event], cuts: tuple[int, int]) -> None:
    """Wherever feedback and predictions were divided between two runs."""
    with TemporaryDirectory() as folder:
        lake = Lake.open(settings_in(Path(folder)))
        for part, rows in ((events[: cuts[0]], ROWS[: cuts[1]]), (events[cuts[0] :], ROWS[cuts[1] :])):
            lake.tables[FEEDBACK].append(frame(FEEDBACK, [event_row(event) for event in part]))
            lake.tables[PREDICTIONS].append(frame(PREDICTIONS, [prediction_row(row) for row in rows]))
            lake.join()
        found = lake.tables[LABELS].scan().sort("prediction").collect()
    assert found.select(pl.all()).to_dicts() == made(events)
