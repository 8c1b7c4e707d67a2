from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from coalmine.feedback.store import Added, FeedbackStore, event_of, events_since
from coalmine.feedback.token import mint
from coalmine.judge.sources import Label
from coalmine.judge.sources.feedback import Votes
from coalmine.records import ReleaseId, Vote

RELEASE = ReleaseId(2, "abcdef1")


def a_vote(*, good: bool | None = True, correction: str = "", user: str = "", t: float = 1000.0) -> Vote:
    return Vote(mint(), RELEASE, 990.0, t, good, correction=correction, user=user)


def label(vote: Vote) -> Label:
    """The vote as the judge counts it."""
    return Label(str(vote.release), vote.predicted_at, vote.t, good=bool(vote.good), user=vote.user)


def test_the_first_vote_counts_and_later_words_are_history(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    store = FeedbackStore(path)
    first = a_vote(good=True)
    other = dataclasses.replace(first, good=False, correction="negative", t=1001.0)
    assert [store.add(first), store.add(first), store.add(other), store.add(other)] == [
        Added.STORED,
        Added.ALREADY,
        Added.DIFFERENT,
        Added.DIFFERENT,
    ]
    store.close()
    assert Votes(path).read({"seq": 0}).items == (label(first),)
    assert [(event.t, event.value, event.correction) for _, event in events_since(path)] == [
        (1000.0, 1.0, ""),
        (1001.0, 0.0, "negative"),
    ]


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


def test_the_judge_and_the_lake_read_on_after_the_last_word_they_saw(tmp_path: Path) -> None:
    """Before there is a file there is nothing to read; a correction alone is an event, and no vote for the judge."""
    path = tmp_path / "feedback.db"
    judge = Votes(path)
    assert (judge.read(None).items, events_since(path)) == ((), [])
    start = judge.read(None).position
    store = FeedbackStore(path)
    votes = [a_vote(good=None, correction="positive"), a_vote(good=False), a_vote()]
    store.add_all(votes[:2])
    counted, told = judge.read(start), events_since(path)
    assert counted.items == (label(votes[1]),)
    assert [event for _, event in told] == [event_of(vote) for vote in votes[:2]]
    store.add(votes[2])
    assert judge.read(counted.position).items == (label(votes[2]),)
    assert [event for _, event in events_since(path, told[-1][0])] == [event_of(votes[2])]
    assert len(events_since(path, limit=1)) == 1
    store.close()


def test_a_thumb_after_a_correction_comes_anew_and_keeps_what_was_corrected(tmp_path: Path) -> None:
    """The judge, which is past the correction's row, counts the thumb."""
    path = tmp_path / "feedback.db"
    store = FeedbackStore(path)
    said = a_vote(good=None, correction="negative")
    thumb = dataclasses.replace(said, good=False, correction="", t=1001.0)
    store.add(said)
    before = Votes(path).read({"seq": 0})
    assert store.add(thumb) is Added.STORED
    store.close()
    assert (before.items, Votes(path).read(before.position).items) == ((), (label(thumb),))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT seq, good, correction FROM votes").fetchall() == [(2, 0, "negative")]


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
    assert Votes(tmp_path / "feedback.db").read({"seq": 0}).items == ()
    assert events_since(tmp_path / "feedback.db") == []
    assert store.add(a_vote()) is Added.STORED
    store.close()
