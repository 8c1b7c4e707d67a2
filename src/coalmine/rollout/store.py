"""The rollout's state on disk: state, record and ending change in one transaction, or none of them does.

Three tables in `settings.database`: `rollout` (one row a model), `rollout_event` (append-only: what reports and
benchmarks read) and `rollout_ending` (one row an attempt: what the closer acts on).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coalmine.database import Database
from coalmine.errors import Broken
from coalmine.records import Ending, Outcome, Phase, ReleaseId, Slot
from coalmine.rollout.canary import Canary
from coalmine.rollout.state import Event, Spec, State, Terms

_SPECS = ("applied", "primary", "candidate", "previous", "leaving")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS rollout (
    model TEXT PRIMARY KEY, state TEXT NOT NULL, canary TEXT NOT NULL, terms TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rollout_event (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, attempt INTEGER NOT NULL, t REAL NOT NULL, phase TEXT NOT NULL,
    kind TEXT NOT NULL, text TEXT NOT NULL, weight INTEGER);
CREATE INDEX IF NOT EXISTS rollout_event_of ON rollout_event (model, attempt);
CREATE TABLE IF NOT EXISTS rollout_ending (
    model TEXT NOT NULL, attempt INTEGER NOT NULL, ending TEXT NOT NULL, PRIMARY KEY (model, attempt));
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a restart goes on from: the Canary and terms are those last acted on, for when main cannot be read."""

    state: State
    canary: Canary
    terms: Terms


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event as it was recorded."""

    attempt: int
    t: float
    phase: str
    kind: str
    text: str
    weight: int | None


class SqliteStore:
    """`run.Store` in SQLite. A connection lives for one operation. Raises Temporary if locked, Broken if damaged."""

    def __init__(self, database: Path) -> None:
        self._database = Database(database, "rollout's database", _SCHEMA)
        self._database.create()

    def load(self, model: str) -> Saved | None:
        """The state to go on from; None before the first push. Raises Broken where the row cannot be read."""
        with self._database.open() as db:
            row = db.execute("SELECT state, canary, terms FROM rollout WHERE model = ?", (model,)).fetchone()
        if row is None:
            return None
        try:
            return Saved(
                state_from(json.loads(row[0])), Canary.model_validate_json(row[1]), Terms(**json.loads(row[2]))
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Broken(
                f"the rollout's state of {model} cannot be read: {error}",
                where=str(self._database.path),
                remedy="it was written by another version: `coalmine down`, remove the row, `coalmine up`",
            ) from error

    def save(self, model: str, saved: Saved, *, events: Sequence[Event] = (), ending: Ending | None = None) -> None:
        """State, events and ending in one transaction. A second ending of an attempt is not written."""
        state = saved.state
        with self._database.open(write=True) as db:
            db.execute(
                "INSERT OR REPLACE INTO rollout VALUES (?, ?, ?, ?)",
                (
                    model,
                    json.dumps(state_to(state)),
                    saved.canary.model_dump_json(by_alias=True),
                    json.dumps(asdict(saved.terms)),
                ),
            )
            db.executemany(
                "INSERT INTO rollout_event (model, attempt, t, phase, kind, text, weight) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(model, e.attempt, e.t, state.phase or "", e.kind, e.text, e.weight) for e in events],
            )
            if ending is not None:
                db.execute(
                    "INSERT OR IGNORE INTO rollout_ending VALUES (?, ?, ?)",
                    (model, ending.attempt, json.dumps(asdict(ending) | _ids(ending))),
                )

    def events(self, model: str, *, attempt: int | None = None) -> list[Recorded]:
        """The record, oldest first, of one attempt or of all."""
        with self._database.open() as db:
            rows = db.execute(
                "SELECT attempt, t, phase, kind, text, weight FROM rollout_event"
                " WHERE model = ? AND (? IS NULL OR attempt = ?) ORDER BY id",
                (model, attempt, attempt),
            ).fetchall()
        return [Recorded(*row) for row in rows]

    def endings(self, model: str, *, after: int = 0) -> list[Ending]:
        """The endings of all attempts above `after`, oldest first."""
        with self._database.open() as db:
            rows = db.execute(
                "SELECT ending FROM rollout_ending WHERE model = ? AND attempt > ? ORDER BY attempt", (model, after)
            ).fetchall()
        return [_ending(json.loads(row[0])) for row in rows]


def state_to(state: State) -> dict[str, Any]:
    """A State as plain JSON."""
    data = asdict(state)
    for name in _SPECS:
        spec: Spec | None = getattr(state, name)
        data[name] = None if spec is None else {"release": str(spec.release), "faults": spec.faults}
    return data


def state_from(data: dict[str, Any]) -> State:
    """The inverse of `state_to`. Raises ValueError, KeyError or TypeError for anything else."""
    known = dict(data)
    for name in _SPECS:
        spec = known[name]
        known[name] = None if spec is None else Spec(ReleaseId.parse(spec["release"]), spec["faults"])
    for name in ("phase", "farewell"):
        known[name] = None if known[name] is None else Phase(known[name])
    known["primary_slot"] = Slot(known["primary_slot"])
    return State(**known)


def _ids(ending: Ending) -> dict[str, str | None]:
    return {"release": str(ending.release), "primary": str(ending.primary) if ending.primary else None}


def _ending(data: dict[str, Any]) -> Ending:
    primary = ReleaseId.parse(data["primary"]) if data["primary"] else None
    known = {"release": ReleaseId.parse(data["release"]), "primary": primary, "outcome": Outcome(data["outcome"])}
    return Ending(**data | known)
