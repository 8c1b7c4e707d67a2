"""Votes in SQLite: on disk before they are answered for.

The judge and `steps.collect` read this file while it is written (WAL). Its tables are a contract:

    votes(seq INTEGER PRIMARY KEY AUTOINCREMENT,   grows with time of arrival: readers remember the last one seen
          prediction TEXT UNIQUE,                  the UUIDv7 alone: one vote for each prediction, the first
          release TEXT, predicted_at REAL, t REAL, Unix seconds
          good INTEGER NULL,                       1, 0, or NULL for a correction without a thumb
          correction TEXT, user TEXT)              '' where there is none
    corrections(seq, prediction, t, good, correction, user)   later and different words on the same prediction:
                                                   history for the lake, never counted by the judge
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from coalmine.records import ReleaseId, Vote

HOUR = 3600.0
LATER_WORDS = 10  # kept for each prediction; more of them are noise or an attack
_SCHEMA = """
CREATE TABLE IF NOT EXISTS votes(seq INTEGER PRIMARY KEY AUTOINCREMENT, prediction TEXT UNIQUE, release TEXT,
  predicted_at REAL, t REAL, good INTEGER NULL, correction TEXT, user TEXT);
CREATE INDEX IF NOT EXISTS votes_by_user ON votes(user, t) WHERE user <> '';
CREATE TABLE IF NOT EXISTS corrections(seq INTEGER PRIMARY KEY AUTOINCREMENT, prediction TEXT, t REAL,
  good INTEGER NULL, correction TEXT, user TEXT);
CREATE INDEX IF NOT EXISTS corrections_by_prediction ON corrections(prediction);
"""
_COLUMNS = "prediction, release, predicted_at, t, good, correction, user"
_Row: TypeAlias = tuple[str, str, float, float, int | None, str, str]


class Added(StrEnum):
    """What became of a vote."""

    STORED = "stored"
    ALREADY = "already"  # the same word on the same prediction is there already
    DIFFERENT = "different"  # another word came first and counts; this one is history
    CAPPED = "capped"  # its user has had enough votes in the last hour; nothing was written


@dataclass(frozen=True, slots=True)
class Stored:
    """A vote with its place in the order of arrival."""

    seq: int
    vote: Vote


class FeedbackStore:
    """The one writer. Not for two threads at once."""

    def __init__(self, path: Path, *, votes_per_hour: int = 60) -> None:
        """Open or make the database. `votes_per_hour`: cap for each user that gives a name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cap = votes_per_hour
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # in WAL, NORMAL may lose acknowledged votes with the power
        self._db.executescript(_SCHEMA)

    def add(self, vote: Vote) -> Added:
        return self.add_all([vote])[0]

    def add_all(self, votes: Sequence[Vote]) -> list[Added]:
        """Write all of `votes` in one transaction; on disk when this returns.

        Shapes: one answer for each vote, in order. Raises sqlite3.Error (nothing was written then).
        """
        self._db.execute("BEGIN IMMEDIATE")
        try:
            added = [self._add(vote) for vote in votes]
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a failed COMMIT may have ended it
                self._db.execute("ROLLBACK")
            raise
        return added

    def _add(self, vote: Vote) -> Added:
        good = None if vote.good is None else int(vote.good)
        first = self._db.execute(
            "SELECT good, correction FROM votes WHERE prediction = ?", (vote.prediction,)
        ).fetchone()
        if first is not None:
            if first == (good, vote.correction):
                return Added.ALREADY
            self._remember(vote, good)
            return Added.DIFFERENT
        if vote.user and self._votes_in_the_hour(vote) >= self._cap:
            return Added.CAPPED
        self._db.execute(
            f"INSERT INTO votes({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (a constant of this module)
            (vote.prediction, str(vote.release), vote.predicted_at, vote.t, good, vote.correction, vote.user),
        )
        return Added.STORED

    def _remember(self, vote: Vote, good: int | None) -> None:
        row = (vote.prediction, good, vote.correction, vote.user)
        said = self._db.execute(
            "SELECT count(*), coalesce(max(good IS ? AND correction = ? AND user = ?), 0)"
            " FROM corrections WHERE prediction = ?",
            (good, vote.correction, vote.user, vote.prediction),
        ).fetchone()
        if said[0] < LATER_WORDS and not said[1]:
            self._db.execute(
                "INSERT INTO corrections(prediction, good, correction, user, t) VALUES (?, ?, ?, ?, ?)", (*row, vote.t)
            )

    def _votes_in_the_hour(self, vote: Vote) -> int:
        query = "SELECT count(*) FROM votes WHERE user = ? AND user <> '' AND t > ?"
        return int(self._db.execute(query, (vote.user, vote.t - HOUR)).fetchone()[0])

    def close(self) -> None:
        self._db.close()


def votes_since(path: Path, seq: int = 0, *, limit: int = 10_000) -> list[Stored]:
    """Up to `limit` votes that arrived after `seq`, oldest first; none where there is no database yet."""
    if not path.exists():
        return []
    query = f"SELECT seq, {_COLUMNS} FROM votes WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 (as above)
    with closing(_open_to_read(path)) as db:
        return [Stored(row[0], _vote(row[1:])) for row in db.execute(query, (seq, limit))]


def all_votes(path: Path) -> Iterator[Vote]:
    """All votes that count, in the order of arrival; none where there is no database yet."""
    seq = 0
    while stored := votes_since(path, seq):
        yield from (item.vote for item in stored)
        seq = stored[-1].seq


def later_words(path: Path) -> list[tuple[str, float, bool | None, str, str]]:
    """The history beside the votes: (prediction, t, good, correction, user), oldest first."""
    if not path.exists():
        return []
    query = "SELECT prediction, t, good, correction, user FROM corrections ORDER BY seq"
    with closing(_open_to_read(path)) as db:
        return [(p, t, None if good is None else bool(good), c, u) for p, t, good, c, u in db.execute(query)]


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)


def _vote(row: _Row) -> Vote:
    prediction, release, predicted_at, t, good, correction, user = row
    return Vote(
        prediction=prediction,
        release=ReleaseId.parse(release),
        predicted_at=predicted_at,
        t=t,
        good=None if good is None else bool(good),
        correction=correction,
        user=user,
    )
