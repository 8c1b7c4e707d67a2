"""Feedback in SQLite: on disk before it is answered for.

The judge, `steps.collect` and the lake read this file while it is written (WAL). Its tables are a contract:

    votes(seq INTEGER PRIMARY KEY AUTOINCREMENT,   grows with time of arrival: readers remember the last one seen
          prediction TEXT UNIQUE,                  the UUIDv7 alone: one vote for each prediction, the first thumb
          release TEXT, predicted_at REAL, t REAL, Unix seconds
          good INTEGER NULL,                       1, 0, or NULL for a correction as long as there is no thumb
          correction TEXT, user TEXT)              '' where there is none
    corrections(seq, prediction, t, good, correction, user)   later and different words on the same prediction,
                                                   never counted by the judge
    events(seq, event_id TEXT UNIQUE, prediction, release, tenant, predicted_at, t, kind, value, correction, user,
           counted)                                everything that came, for the lake; `counted` is how a repetition is
                                                   answered: 1 as done, 0 as history
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path

from coalmine.records import Event, Kind, ReleaseId, Vote

HOUR = 3600.0
LATER_WORDS = 10  # kept for each prediction; more of them are noise or an attack
MOST_EVENTS = 50  # likewise, of all kinds
_SCHEMA = """
CREATE TABLE IF NOT EXISTS votes(seq INTEGER PRIMARY KEY AUTOINCREMENT, prediction TEXT UNIQUE, release TEXT,
  predicted_at REAL, t REAL, good INTEGER NULL, correction TEXT, user TEXT);
CREATE TABLE IF NOT EXISTS corrections(seq INTEGER PRIMARY KEY AUTOINCREMENT, prediction TEXT, t REAL,
  good INTEGER NULL, correction TEXT, user TEXT);
CREATE INDEX IF NOT EXISTS corrections_by_prediction ON corrections(prediction);
CREATE TABLE IF NOT EXISTS events(seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT UNIQUE, prediction TEXT,
  release TEXT, tenant TEXT, predicted_at REAL, t REAL, kind TEXT, value REAL NULL, correction TEXT, user TEXT,
  counted INTEGER);
CREATE INDEX IF NOT EXISTS events_by_prediction ON events(prediction);
CREATE INDEX IF NOT EXISTS events_by_user ON events(user, t) WHERE user <> '';
"""
# A file from before there were events: what people said then is the lake's too.
_OLDER = """
INSERT OR IGNORE INTO events(event_id, prediction, release, tenant, predicted_at, t, kind, value, correction, user,
  counted) SELECT 'vote:' || prediction, prediction, release, 'default', predicted_at, t,
  iif(good IS NULL, 'correction', 'thumb'), good, correction, user, 1 FROM votes;
INSERT OR IGNORE INTO events(event_id, prediction, release, tenant, predicted_at, t, kind, value, correction, user,
  counted) SELECT 'word:' || c.seq, c.prediction, v.release, 'default', v.predicted_at, c.t,
  iif(c.good IS NULL, 'correction', 'thumb'), c.good, c.correction, c.user, 0
  FROM corrections c JOIN votes v USING (prediction);
PRAGMA user_version = 1;
"""
_COLUMNS = "prediction, release, predicted_at, t, good, correction, user"
_EVENT = "event_id, prediction, release, tenant, predicted_at, t, kind, value, correction, user"


class Added(StrEnum):
    """What became of an event."""

    STORED = "stored"
    ALREADY = "already"  # the same event, or the same word on the same prediction, is there already
    DIFFERENT = "different"  # another word came first and counts; this one is history
    CAPPED = "capped"  # its user, or its prediction, has had enough; nothing was written


def event_id(prediction: str, *said: object) -> str:
    """The id of an event, from the name that its client gave, or else from what is said: the same again is the same."""
    return hashlib.sha256(json.dumps([prediction, *said], default=str).encode()).hexdigest()[:32]


def event_of(vote: Vote) -> Event:
    """The event that a vote is."""
    kind = Kind.CORRECTION if vote.good is None else Kind.THUMB
    value = None if vote.good is None else float(vote.good)
    return Event(
        event_id(vote.prediction, kind, value, vote.correction, vote.user),
        *(vote.prediction, vote.release, vote.predicted_at, vote.t),
        kind=kind,
        value=value,
        correction=vote.correction,
        user=vote.user,
    )


class FeedbackStore:
    """The one writer. Not for two threads at once."""

    def __init__(self, path: Path, *, votes_per_hour: int = 60) -> None:
        """Open or make the database. `votes_per_hour`: cap of explicit words for each user that gives a name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cap = votes_per_hour
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # in WAL, NORMAL may lose acknowledged votes with the power
        self._db.executescript(_SCHEMA)
        if self._db.execute("PRAGMA user_version").fetchone()[0] < 1:
            self._db.executescript(f"BEGIN IMMEDIATE; {_OLDER} COMMIT;")

    def add(self, said: Vote | Event) -> Added:
        return self.add_all([said])[0]

    def add_all(self, said: Sequence[Vote | Event]) -> list[Added]:
        """Write all of `said` in one transaction; on disk when this returns.

        Shapes: one answer for each, in order. Raises sqlite3.Error (nothing was written then).
        """
        events = [event_of(one) if isinstance(one, Vote) else one for one in said]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            added = [self._add(event) for event in events]
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a failed COMMIT may have ended it
                self._db.execute("ROLLBACK")
            raise
        return added

    def _add(self, event: Event) -> Added:
        seen = self._db.execute("SELECT counted FROM events WHERE event_id = ?", (event.id,)).fetchone()
        if seen is not None:
            return Added.ALREADY if seen[0] else Added.DIFFERENT
        if self._too_many(event):
            return Added.CAPPED
        added = self._vote(event) if event.kind in (Kind.THUMB, Kind.CORRECTION) else Added.STORED
        row = (event.id, event.prediction, str(event.release), event.tenant, event.predicted_at, event.t)
        said = (event.kind.value, event.value, event.correction, event.user, added is not Added.DIFFERENT)
        self._db.execute(
            f"INSERT INTO events({_EVENT}, counted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (a constant of this module)
            (*row, *said),
        )
        return added

    def _vote(self, event: Event) -> Added:
        """What the judge counts: the first thumb on a prediction, or until there is one the first correction."""
        good = None if event.value is None else int(event.value)
        first = self._db.execute(
            "SELECT good, correction FROM votes WHERE prediction = ?", (event.prediction,)
        ).fetchone()
        if first == (good, event.correction):
            return Added.ALREADY
        correction = event.correction
        if first is not None:
            if first[0] is not None or good is None:
                self._remember(event, good)
                return Added.DIFFERENT
            # A thumb after a correction: with a new seq, since readers are past the old one.
            self._db.execute("DELETE FROM votes WHERE prediction = ?", (event.prediction,))
            correction = correction or first[1]
        self._db.execute(
            f"INSERT INTO votes({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (a constant of this module)
            (event.prediction, str(event.release), event.predicted_at, event.t, good, correction, event.user),
        )
        return Added.STORED

    def _remember(self, event: Event, good: int | None) -> None:
        known = self._db.execute("SELECT count(*) FROM corrections WHERE prediction = ?", (event.prediction,))
        if known.fetchone()[0] < LATER_WORDS:
            row = (event.prediction, good, event.correction, event.user, event.t)
            self._db.execute(
                "INSERT INTO corrections(prediction, good, correction, user, t) VALUES (?, ?, ?, ?, ?)", row
            )

    def _too_many(self, event: Event) -> bool:
        count = "SELECT count(*) FROM events WHERE prediction = ?"
        if self._db.execute(count, (event.prediction,)).fetchone()[0] >= MOST_EVENTS:
            return True
        return bool(event.user and event.kind.explicit) and self._words_in_the_hour(event) >= self._cap

    def _words_in_the_hour(self, event: Event) -> int:
        query = "SELECT count(*) FROM events WHERE user = ? AND user <> '' AND t > ?"
        query += " AND kind IN ('thumb', 'rating', 'correction')"
        return int(self._db.execute(query, (event.user, event.t - HOUR)).fetchone()[0])

    def close(self) -> None:
        self._db.close()


def events_since(path: Path, seq: int = 0, *, limit: int = 10_000) -> list[tuple[int, Event]]:
    """Up to `limit` events that arrived after `seq`, oldest first; none where there is no database yet."""
    query = f"SELECT seq, {_EVENT} FROM events WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 (as above)
    if not path.exists():
        return []
    with closing(_open_to_read(path)) as db:
        return [(row[0], _event(row[1:])) for row in db.execute(query, (seq, limit))]


def count_votes(path: Path, *, since: float = 0.0) -> int | None:
    """How many arrived after that moment; None where there is no database to count in."""
    if not path.exists():
        return None
    with closing(_open_to_read(path)) as db:
        return int(db.execute("SELECT count(*) FROM votes WHERE t > ?", (since,)).fetchone()[0])


def _open_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)


def _event(row: tuple[str, str, str, str, float, float, str, float | None, str, str]) -> Event:
    name, prediction, release, tenant, predicted_at, t, kind, value, correction, user = row
    return Event(
        *(name, prediction, ReleaseId.parse(release), predicted_at, t, Kind(kind)),
        value=value,
        correction=correction,
        user=user,
        tenant=tenant,
    )
