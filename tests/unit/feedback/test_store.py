from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import pytest

from coalmine.feedback.store import Added, FeedbackStore, all_votes, later_words, votes_since
from coalmine.feedback.token import mint
from coalmine.records import ReleaseId, Vote

RELEASE = ReleaseId(2, "abcdef1")


def a_vote(*, good: bool | None = True, correction: str = "", user: str = "", t: float = 1000.0) -> Vote:
    return Vote(mint(), RELEASE, 990.0, t, good, correction=correction, user=user)


def test_the_first_vote_counts_and_later_words_are_history(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback.db")
    first = a_vote(good=True)
    other = dataclasses.replace(first, good=False, correction="negative", t=1001.0)
    assert [store.add(first), store.add(first), store.add(other), store.add(other)] == [
        Added.STORED,
        Added.ALREADY,
        Added.DIFFERENT,
        Added.DIFFERENT,
    ]
    store.close()
    assert list(all_votes(tmp_path / "feedback.db")) == [first]
    assert later_words(tmp_path / "feedback.db") == [(first.prediction, 1001.0, False, "negative", "")]


def test_a_batch_with_the_same_prediction_twice_counts_it_once(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback.db")
    vote = a_vote()
    assert store.add_all([vote, vote]) == [Added.STORED, Added.ALREADY]
    store.close()


def test_a_named_user_is_capped_by_the_hour_and_a_nameless_one_is_not(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback.db", votes_per_hour=2)
    named = [store.add(a_vote(user="ann", t=1000.0 + step)) for step in range(3)]
    assert named == [Added.STORED, Added.STORED, Added.CAPPED]
    assert store.add(a_vote(user="bob", t=1003.0)) is Added.STORED
    assert store.add(a_vote(user="ann", t=4600.5)) is Added.STORED
    assert [store.add(a_vote()) for _ in range(3)] == [Added.STORED] * 3
    store.close()


def test_readers_go_on_after_the_last_vote_they_saw(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    assert votes_since(path) == []
    store = FeedbackStore(path)
    votes = [a_vote(good=None, correction="positive"), a_vote(good=False), a_vote()]
    store.add_all(votes[:2])
    seen = votes_since(path)
    assert [stored.vote for stored in seen] == votes[:2]
    store.add(votes[2])
    assert [stored.vote for stored in votes_since(path, seen[-1].seq)] == votes[2:]
    assert len(votes_since(path, limit=1)) == 1
    store.close()


def test_the_table_is_as_the_judge_reads_it(tmp_path: Path) -> None:
    FeedbackStore(tmp_path / "feedback.db").close()
    with sqlite3.connect(tmp_path / "feedback.db") as db:
        columns = [(row[1], row[2]) for row in db.execute("PRAGMA table_info(votes)")]
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()
    assert columns == [
        ("seq", "INTEGER"),
        ("prediction", "TEXT"),
        ("release", "TEXT"),
        ("predicted_at", "REAL"),
        ("t", "REAL"),
        ("good", "INTEGER"),
        ("correction", "TEXT"),
        ("user", "TEXT"),
    ]


def test_a_failed_transaction_writes_nothing_and_the_store_goes_on(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback.db")
    broken = dataclasses.replace(a_vote(), user=object())  # type: ignore[arg-type]  # what SQLite cannot bind
    with pytest.raises(sqlite3.Error):
        store.add_all([a_vote(), broken])
    assert list(all_votes(tmp_path / "feedback.db")) == []
    assert store.add(a_vote()) is Added.STORED
    store.close()
