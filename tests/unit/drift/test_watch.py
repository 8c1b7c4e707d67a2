"""Windows become states: the same however they come, an alarm that names its cause, and no data that is no health."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from coalmine.drift import calibrate, health, page, run, signals, watch
from coalmine.drift.health import EXIT_CODES
from coalmine.drift.reading import Fitted, of_texts
from coalmine.drift.signals import Kind, Seen, Values
from coalmine.drift.watch import Plan, Series, State
from coalmine.errors import BadInput
from coalmine.steps.collect import fingerprint

PLAN = Plan(window=20, reference=100, parts=199)
LIMIT = calibrate.threshold(PLAN.alpha, signals=5)
CALM = ("the cat sat on the mat", "a dog ran home", "we had tea at four", "rain again today", "the train was late")
LOUD = ("BUY NOW!!! $$$", "WIN $1000!!!", "FREE!!! CLICK >>> HERE", "$$$ CASH $$$ NOW", "!!! LAST CHANCE !!!")


def texts(pool: Sequence[str], count: int, seed: int) -> list[Seen]:
    rng = random.Random(seed)
    return of_texts([f"{rng.choice(pool)} {rng.choice(pool)}" for _ in range(count)])


def columns(values: Values, kind: Kind = Kind.NUMERIC) -> dict[str, tuple[Kind, Values]]:
    return {"x": (kind, values)}


def begun(seed: int = 0) -> dict[str, Series]:
    return watch.begin(columns(np.random.default_rng(seed).standard_normal(100)), PLAN)


def test_a_change_is_an_alarm_that_stays_and_says_what_changed() -> None:
    rng = np.random.default_rng(1)
    found = watch.look(begun(), columns(rng.standard_normal(60) + 2), PLAN, limit=LIMIT)
    assert watch.state(found["x"]) is State.ALARM
    assert found["x"].alarm_at == 60
    assert found["x"].drivers.startswith("x: mean")
    later = watch.look(found, columns(rng.standard_normal(200)), PLAN, limit=LIMIT)
    assert later["x"].alarm_at == found["x"].alarm_at


def test_many_small_looks_are_one_large_look() -> None:
    """What is pending waits for its window to be full: the number of looks costs nothing and wins nothing."""
    values = np.random.default_rng(2).standard_normal(130)
    whole = watch.look(begun(), columns(values), PLAN, limit=LIMIT)["x"]
    series = begun()
    for start in range(0, 130, 7):
        series = watch.look(series, columns(values[start : start + 7]), PLAN, limit=LIMIT)
    assert (series["x"].evidence, series["x"].trail, len(series["x"].pending)) == (whole.evidence, whole.trail, 10)


def test_before_a_full_window_there_is_no_data() -> None:
    found = watch.look(begun(), columns(np.zeros(19)), PLAN, limit=LIMIT)
    assert watch.state(found["x"]) is State.NO_DATA
    assert watch.worst([]) is State.NO_DATA
    assert watch.worst([State.NO_DATA, State.HEALTHY]) is State.HEALTHY
    assert watch.worst([State.HEALTHY, State.ALARM, State.NO_DATA]) is State.ALARM


def test_a_bag_does_not_grow_without_end() -> None:
    plan = replace(PLAN, most=150)
    found = watch.look(begun(), columns(np.random.default_rng(3).standard_normal(400)), plan, limit=LIMIT)
    assert len(found["x"].bag) == 150
    assert watch.state(found["x"]) is State.HEALTHY


@pytest.mark.parametrize(
    ("kind", "values"), [(Kind.CATEGORICAL, np.asarray(["a", "b"])), (Kind.NUMERIC, np.zeros((2, 3)))]
)
def test_values_of_another_kind_are_an_alarm_and_no_crash(kind: Kind, values: Values) -> None:
    """Numbers that became texts, or vectors: no chance makes one of the other."""
    found = watch.look(begun(), columns(values, kind), PLAN, limit=LIMIT)
    assert watch.state(found["x"]) is State.ALARM
    assert "another kind" in found["x"].drivers


def test_more_right_answers_are_no_alarm_and_fewer_are() -> None:
    """Only a loss of accuracy is bad."""
    start = watch.begin(columns(np.tile([1.0, 1.0, 0.0, 1.0], 25), Kind.RIGHT), PLAN)
    better = watch.look(start, columns(np.ones(200), Kind.RIGHT), PLAN, limit=LIMIT)
    worse = watch.look(start, columns(np.tile([1.0, 0.0, 0.0, 0.0], 50), Kind.RIGHT), PLAN, limit=LIMIT)
    assert (watch.state(better["x"]), watch.state(worse["x"])) == (State.HEALTHY, State.ALARM)


def test_other_texts_are_seen_and_equal_ones_are_not() -> None:
    same = run.of_texts(texts(CALM, 200, 5), texts(CALM, 100, 6), Fitted(), PLAN, name="same")
    other = run.of_texts(texts(LOUD, 100, 7), texts(CALM, 100, 6), Fitted(), PLAN, name="other")
    assert (same.state, other.state) == (State.HEALTHY, State.ALARM)
    assert other.signals[0].state is State.ALARM


def test_the_fitting_rows_are_never_the_reference() -> None:
    """All of them were fitted on: there is no reference left, and that is no data."""
    rows = texts(CALM, 100, 8)

    fit = Fitted(frozenset(fingerprint(str(row.input)) for row in rows))
    found = run.of_texts(texts(LOUD, 100, 9), rows, fit, PLAN, name="x")
    assert found.state is State.NO_DATA
    assert "rows that a reference needs" in found.what


def table(count: int, *, rooms: int, colour: str) -> list[Seen]:
    rng = random.Random(rooms)
    return of_texts(
        [json.dumps({"rooms": rooms + rng.random(), "age": rng.random(), "colour": colour}) for _ in range(count)]
    )


def test_an_input_that_is_a_record_is_watched_field_by_field() -> None:
    found = signals.columns(table(30, rooms=3, colour="red"))
    assert found["input.rooms"][0] is Kind.NUMERIC
    assert found["input.colour"][0] is Kind.CATEGORICAL
    assert found["embedding.classified"][1].shape == (30, 2)
    moved = run.of_texts(table(80, rooms=5, colour="red"), table(100, rooms=3, colour="red"), Fitted(), PLAN, name="x")
    assert {one.name: one.state for one in moved.signals}["input.rooms"] is State.ALARM
    assert {one.name: one.state for one in moved.signals}["input.colour"] is State.HEALTHY


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Seen("a", 0.0, "text", "yes", 0.5), "whole"),
        (Seen("a", 0.0, None, "yes", 0.5), "no input"),
        (Seen("a", 0.0, "  ", "yes", 0.5), "no input"),
        (Seen("a", 0.0, "text"), "no prediction"),
        (Seen("a", 0.0, "text", None, float("nan")), "score is no number"),
    ],
)
def test_the_quality_of_a_row(row: Seen, said: str) -> None:
    assert signals.quality(row) == said


def test_missing_inputs_become_an_alarm_of_quality() -> None:
    reference = texts(CALM, 100, 3)
    broken = [replace(row, input=None if number % 2 else row.input) for number, row in enumerate(texts(CALM, 100, 4))]
    found = run.of_texts(broken, reference, Fitted(), PLAN, name="x")
    assert {one.name: one.state for one in found.signals}["quality.rows"] is State.ALARM


def test_the_page_is_one_file_with_a_plot_a_signal_and_nothing_of_a_tenants_own() -> None:
    """A tenant's name is other people's text."""
    tenant = run.of_texts(texts(LOUD, 100, 7), texts(CALM, 100, 6), Fitted(), PLAN, name="<script>x</script>")
    made = health.health([tenant], made_at=0.0, model="m", alpha=0.05)
    html = page.render(made)
    assert html.count("<svg") == len(tenant.signals)
    assert "<script" not in html
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "1970-01-01 00:00:00 UTC" in html
    assert [EXIT_CODES[state] for state in (State.HEALTHY, State.ALARM, State.NO_DATA)] == [0, 10, 11]


@pytest.mark.parametrize(
    ("plan", "where"),
    [(Plan(alpha=0), "--alpha"), (Plan(window=5), "--window"), (Plan(window=50, reference=100), "--reference")],
)
def test_a_plan_that_cannot_work_is_refused_by_name(plan: Plan, where: str) -> None:
    with pytest.raises(BadInput) as caught:
        run.check(plan)
    assert caught.value.where == where
