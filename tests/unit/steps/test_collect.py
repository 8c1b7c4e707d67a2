"""Votes become labels, nothing that is evaluated on is trained on, and the same rows have the same digest."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.errors import BadInput, Refused
from coalmine.feedback.capture import Prediction
from coalmine.feedback.store import FeedbackStore
from coalmine.feedback.token import mint
from coalmine.records import ReleaseId, Vote
from coalmine.settings import Settings
from coalmine.steps.collect import collect, digest, fingerprint, learn, read_rows, refuse_leaks, store
from coalmine.steps.workload import Row, Task

LABELS = ("no", "yes")
RELEASE = ReleaseId(1, "abcdef1")
ROWS = st.builds(Row, st.text(max_size=9), st.integers(0, 1), st.just(1.0), st.sampled_from("ab"), st.text(max_size=3))


def vote(prediction: str, *, good: bool | None = None, correction: str = "") -> Vote:
    return Vote(prediction, RELEASE, 1.0, 2.0, good, correction)


def predicted(prediction: str, text: str | None = "fine", label: str = "yes") -> Prediction:
    return Prediction(prediction, 1.0, str(RELEASE), 1, "d", text, {"label": label, "score": 0.9}, 1.0)


@pytest.mark.parametrize(
    ("given_vote", "label"),
    [
        (vote("p", good=True), 1),
        (vote("p", good=False), 0),
        (vote("p", correction="no"), 0),
        (vote("p", good=True, correction="no"), 0),
    ],
)
def test_a_vote_is_a_label(given_vote: Vote, label: int) -> None:
    (row,) = learn([given_vote], [predicted("p")], labels=LABELS).rows
    assert (row.text, row.label, row.weight, row.domain) == ("fine", label, 1.0, "feedback")


def test_only_the_first_vote_on_a_prediction_counts() -> None:
    learnt = learn([vote("p", good=False), vote("p", good=True)], [predicted("p"), predicted("p")], labels=LABELS)
    assert [row.label for row in learnt.rows] == [0]
    assert learnt.votes == 1


def test_a_text_weighs_one_in_all_however_many_vote_on_it() -> None:
    votes = [vote(name, good=name != "d") for name in "abcd"]
    learnt = learn(votes, [predicted(name) for name in "abcd"], labels=LABELS)
    assert {row.label: row.weight for row in learnt.rows} == {1: 0.75, 0: 0.25}
    assert len({row.entity for row in learnt.rows}) == 1


@pytest.mark.parametrize(
    ("given_vote", "prediction", "reason"),
    [
        (vote("p", good=True), predicted("q"), "without a logged prediction"),
        (vote("p", good=True), predicted("p", None), "without a kept text"),
        (vote("p", correction="maybe"), predicted("p"), "with an unknown label"),
        (vote("p", good=True), predicted("p", label="?"), "with an unknown label"),
        (vote("p", good=True), predicted("p", "  Held OUT"), "on evaluation texts"),
    ],
)
def test_useless_votes_are_counted_by_reason(given_vote: Vote, prediction: Prediction, reason: str) -> None:
    held_out = frozenset({fingerprint("held out")})
    learnt = learn([given_vote], [prediction], labels=LABELS, held_out=held_out)
    assert (learnt.rows, learnt.left_out) == ((), {reason: 1})


@pytest.mark.parametrize(
    ("given_vote", "labels"),
    [
        (vote("p", correction="12.5"), [12.5]),
        (vote("p", good=True, correction="12"), [12.0]),
        (vote("p", good=True), []),
        (vote("p", correction="much"), []),
        (vote("p", correction="nan"), []),
    ],
)
def test_of_a_number_only_the_true_one_teaches(given_vote: Vote, labels: list[float]) -> None:
    """A thumb says good or bad, and not what the number should have been."""
    learnt = learn([given_vote], [predicted("p", '{"a":1.0}')], labels=())
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


def test_stored_votes_are_joined_with_the_prediction_log(settings: Settings) -> None:
    name = mint()
    store = FeedbackStore(settings.feedback_database)
    store.add(vote(name, good=False))
    store.close()
    settings.predictions.mkdir(parents=True)
    row = dataclasses.asdict(predicted(name, "new words")) | {"release": str(RELEASE)}
    (settings.predictions / f"{RELEASE}-1.jsonl").write_text(json.dumps(row) + "\n")
    dataset = collect(settings, domains=["shop", "film"], votes=settings.feedback_database)
    learnt = [row for row in read_rows(dataset) if row.domain == "feedback"]
    assert [(row.text, row.label) for row in learnt] == [("new words", 0)]
    assert dataset.sources[-1] == "feedback: 1 rows from 1 votes"
    assert dataset.digest != collect(settings, domains=["shop", "film"]).digest


def test_a_dataset_changed_on_disk_is_not_trained_on(settings: Settings) -> None:
    dataset = collect(settings)
    other = collect(settings, domains=["film"])
    Path(dataset.path).write_bytes(Path(other.path).read_bytes())
    with pytest.raises(BadInput, match="another digest"):
        read_rows(dataset)
    Path(dataset.path).write_bytes(b"no parquet")
    with pytest.raises(BadInput, match="cannot be read"):
        read_rows(dataset)
