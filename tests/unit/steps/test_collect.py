"""Votes become labels, nothing that is evaluated on is trained on, and the same rows have the same digest."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.errors import BadInput, Refused
from coalmine.feedback.capture import Prediction
from coalmine.feedback.lake import Lake
from coalmine.feedback.upkeep import compact
from coalmine.records import Kind
from coalmine.settings import Settings
from coalmine.steps.collect import collect, digest, fingerprint, learn, read_rows, refuse_leaks, store
from coalmine.steps.said import Said
from coalmine.steps.workload import Row, Task
from unit.feedback.filled import a_prediction, an_event, log, say

LABELS = ("no", "yes")
ROWS = st.builds(Row, st.text(max_size=9), st.integers(0, 1), st.just(1.0), st.sampled_from("ab"), st.text(max_size=3))


def said(label: str | None, *, good: bool | None = None, text: str | None = "fine", predicted: str = "yes") -> Said:
    return Said(text, predicted, label, good)


@pytest.mark.parametrize(
    ("word", "label"),
    [
        (said("yes", good=True), 1),
        (said(None, good=False), 0),
        (said(None, good=False, predicted="no"), 1),
        (said("no"), 0),
        (said("no", good=True), 0),
    ],
)
def test_what_somebody_says_is_a_label(word: Said, label: int) -> None:
    (row,) = learn([word], labels=LABELS).rows
    assert (row.text, row.label, row.weight, row.domain) == ("fine", label, 1.0, "feedback")


def test_a_text_weighs_one_in_all_however_many_speak_of_it() -> None:
    learnt = learn([said("yes")] * 3 + [said(None, good=False)], labels=LABELS)
    assert {row.label: row.weight for row in learnt.rows} == {1: 0.75, 0: 0.25}
    assert len({row.entity for row in learnt.rows}) == 1
    assert learnt.said == 4


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (said("yes", text=None), "without a kept text"),
        (said("maybe"), "with an unknown label"),
        (said(None, good=False, predicted="?"), "with an unknown label"),
        (said(None), "with an unknown label"),
        (said("yes", text="  Held OUT"), "on evaluation texts"),
    ],
)
def test_useless_words_are_counted_by_reason(word: Said, reason: str) -> None:
    held_out = frozenset({fingerprint("held out")})
    learnt = learn([word], labels=LABELS, held_out=held_out)
    assert (learnt.rows, learnt.left_out) == ((), {reason: 1})


@pytest.mark.parametrize(
    ("word", "labels"),
    [(said("12.5"), [12.5]), (said(None, good=True), []), (said("much"), []), (said("nan"), [])],
)
def test_of_a_number_only_the_true_one_teaches(word: Said, labels: list[float]) -> None:
    """A thumb says good or bad, and not what the number should have been."""
    learnt = learn([word], labels=())
    assert [row.label for row in learnt.rows] == labels
    assert learnt.left_out == ({} if labels else {"without the true number": 1})


def test_rows_of_numbers_are_the_same_on_disk_however_they_were_written(tmp_path: Path) -> None:
    """3 and 3.0 are one number, so one digest; and no count of positives is made up."""
    rows = [Row("a", 3, 1.0, "a", "e"), Row("b", 4.5, 1.0, "a", "f")]
    stored = store(tmp_path, rows, sources=(), task=Task.REGRESSION)
    again = store(tmp_path, [dataclasses.replace(rows[0], label=3.0), rows[1]], sources=(), task=Task.REGRESSION)
    assert (stored, stored.positives) == (again, None)
    assert [row.label for row in read_rows(stored)] == [3.0, 4.5]


def test_one_number_alone_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="two different numbers"):
        store(tmp_path, [Row("a", 3, 1.0, "a", "e")] * 2, sources=(), task=Task.REGRESSION)


@given(st.lists(ROWS, max_size=20), st.randoms())
def test_the_digest_is_of_the_rows_not_of_their_order(rows: list[Row], rng: random.Random) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert digest(shuffled) == digest(rows)


@given(st.lists(ROWS, min_size=1, max_size=20))
def test_one_changed_label_changes_the_digest(rows: list[Row]) -> None:
    changed = [dataclasses.replace(rows[0], label=1 - rows[0].label), *rows[1:]]
    assert digest(changed) != digest(rows)


def test_an_entity_on_both_sides_is_refused() -> None:
    row = Row("a", 1, 1.0, "d", "d/1")
    with pytest.raises(Refused, match=r"1 entities .* d/1"):
        refuse_leaks([row], [dataclasses.replace(row, text="b")])
    refuse_leaks([row], [dataclasses.replace(row, entity="d/2")])


def test_base_rows_alone_come_from_the_first_domain(settings: Settings) -> None:
    dataset = collect(settings)
    assert (dataset.rows, dataset.positives, dataset.sources) == (80, 40, ("shop: 80 rows",))
    assert {row.domain for row in read_rows(dataset)} == {"shop"}
    assert collect(settings) == dataset


def served(settings: Settings, *texts: str) -> list[Prediction]:
    """Predictions of `yes` as the service logs them."""
    rows = [dataclasses.replace(a_prediction(text), output={"label": "yes", "score": 0.9}) for text in texts]
    log(settings, rows)
    return rows


def test_what_people_said_is_taken_into_the_lake_and_learnt_from_a_snapshot(settings: Settings) -> None:
    """Services' files, lake, snapshot, rows: one way, and the dataset names the snapshot."""
    (row,) = served(settings, "new words")
    say(settings, [an_event(row, 1, Kind.THUMB, 0.0)])
    dataset = collect(settings, domains=["shop", "film"], votes=True)
    learnt = [row for row in read_rows(dataset) if row.domain == "feedback"]
    assert [(row.text, row.label) for row in learnt] == [("new words", 0)]
    assert dataset.sources[-1] == "feedback: 1 rows from 1 votes"
    assert dataset.digest != collect(settings, domains=["shop", "film"]).digest
    assert dataset.snapshot is not None
    assert dataset.snapshot.rows == 1


def test_a_dataset_is_rebuilt_from_the_snapshot_it_names(settings: Settings) -> None:
    """Whatever was said, changed or compacted since: the same rows, so the same digest."""
    first, second = served(settings, "new words", "other words")
    say(settings, [an_event(first, 1, Kind.THUMB, 0.0)])
    then = collect(settings, votes=True)
    say(settings, [an_event(first, 2, Kind.THUMB, 1.0), an_event(second, 1, Kind.THUMB, 1.0)])
    now = collect(settings, votes=True)
    compact(Lake.open(settings))
    Path(then.path).unlink()
    assert then.snapshot is not None
    again = collect(settings, snapshot=then.snapshot.digest[:12])
    assert again == then
    assert now.digest != then.digest
    with pytest.raises(BadInput, match="0 snapshots begin"):
        collect(settings, snapshot="0000")


def test_a_dataset_changed_on_disk_is_not_trained_on(settings: Settings) -> None:
    dataset = collect(settings)
    other = collect(settings, domains=["film"])
    Path(dataset.path).write_bytes(Path(other.path).read_bytes())
    with pytest.raises(BadInput, match="another digest"):
        read_rows(dataset)
    Path(dataset.path).write_bytes(b"no parquet")
    with pytest.raises(BadInput, match="cannot be read"):
        read_rows(dataset)
