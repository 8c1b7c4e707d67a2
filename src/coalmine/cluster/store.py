"""What the closer remembers: one row a Canary, and each end until it is closed. Both change in one transaction.

A kill before the transaction leaves the look to be done again, a kill after it leaves the end to be closed: an end is
never told twice and never forgotten.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from coalmine.cluster.attempts import End, Track
from coalmine.cluster.seen import Seen
from coalmine.database import Database
from coalmine.errors import Broken
from coalmine.records import Ending

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tracks (key TEXT PRIMARY KEY, track TEXT NOT NULL, seen TEXT NOT NULL, t REAL NOT NULL);
CREATE TABLE IF NOT EXISTS ends (
    key TEXT NOT NULL, attempt INTEGER NOT NULL, outcome TEXT NOT NULL, told REAL NOT NULL, model TEXT NOT NULL,
    env TEXT NOT NULL, finish TEXT NOT NULL, ending TEXT, done REAL, PRIMARY KEY (key, attempt, outcome));
CREATE TABLE IF NOT EXISTS commits (
    key TEXT NOT NULL, attempt INTEGER NOT NULL, sha TEXT NOT NULL, PRIMARY KEY (key, attempt));
"""
_TRACK, _END, _SEEN, _ENDING = TypeAdapter(Track), TypeAdapter(End), TypeAdapter(Seen), TypeAdapter(Ending)
_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class Told:
    """An end that is not closed. `ending` is None until its reason and commit are found. `told` is Unix seconds."""

    key: str
    model: str
    env: str
    end: End
    told: float
    ending: Ending | None

    @property
    def namespace(self) -> str:
        return self.key.partition("/")[0]

    @property
    def name(self) -> str:
        return self.key.partition("/")[2]


class ClosersStore:
    """Each method is one transaction. Raises Temporary if the file stays locked, Broken if it is damaged."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "closer's database", _SCHEMA)
        self._database.create()

    def track(self, key: str) -> Track | None:
        with self._database.open() as db:
            row = db.execute("SELECT track FROM tracks WHERE key = ?", (key,)).fetchone()
        return None if row is None else _read(_TRACK, row[0])

    def tracks(self) -> dict[str, tuple[Track, Seen]]:
        """All of them by `namespace/name`, with the look that each was last changed by."""
        with self._database.open() as db:
            rows = db.execute("SELECT key, track, seen FROM tracks ORDER BY key").fetchall()
        return {key: (_read(_TRACK, track), _read(_SEEN, seen)) for key, track, seen in rows}

    def save(self, seen: Seen, track: Track, ends: Sequence[End] = ()) -> None:
        with self._database.open(write=True) as db:
            db.execute(
                "INSERT OR REPLACE INTO tracks VALUES (?, ?, ?, ?)",
                (seen.key, _write(_TRACK, track), _write(_SEEN, seen), time.time()),
            )
            db.executemany(
                "INSERT OR IGNORE INTO ends (key, attempt, outcome, told, model, env, finish)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (seen.key, end.attempt, end.outcome, time.time(), seen.model, seen.env, _write(_END, end))
                    for end in ends
                ],
            )

    def open_ends(self) -> list[Told]:
        """Ends that are not closed, oldest first."""
        with self._database.open() as db:
            rows = db.execute(
                "SELECT key, model, env, finish, told, ending FROM ends WHERE done IS NULL ORDER BY rowid"
            ).fetchall()
        return [
            Told(key, model, env, _read(_END, end), told, None if ending is None else _read(_ENDING, ending))
            for key, model, env, end, told, ending in rows
        ]

    def explain(self, told: Told, ending: Ending) -> None:
        """Keep the ending that was made of an end: what is written into git must not change with the next try."""
        self._change(told, "ending = coalesce(ending, ?)", _write(_ENDING, ending))

    def finish(self, told: Told) -> None:
        self._change(told, "done = coalesce(done, ?)", time.time())

    def _change(self, told: Told, what: str, value: object) -> None:
        key = (told.key, told.end.attempt, told.end.outcome)
        with self._database.open(write=True) as db:
            db.execute(f"UPDATE ends SET {what} WHERE key = ? AND attempt = ? AND outcome = ?", (value, *key))  # noqa: S608 - two constants

    def asked_by(self, key: str, attempt: int, sha: str = "") -> str:
        """The commit that asked for an attempt; the first word on it stands. Empty where nobody knows."""
        with self._database.open(write=bool(sha)) as db:
            if sha:
                db.execute("INSERT OR IGNORE INTO commits VALUES (?, ?, ?)", (key, attempt, sha))
            row = db.execute("SELECT sha FROM commits WHERE key = ? AND attempt = ?", (key, attempt)).fetchone()
        return str(row[0]) if row else ""


def _write(adapter: TypeAdapter[_Record], record: _Record) -> str:
    return adapter.dump_json(record).decode()


def _read(adapter: TypeAdapter[_Record], text: str) -> _Record:
    try:
        return adapter.validate_json(text)
    except (ValidationError, json.JSONDecodeError) as error:
        raise Broken(f"a row of the closer's database cannot be read: {error}") from error
