"""The runs of a state folder: one open at a time, claimed in one transaction with the decision that it is due.

A run that died keeps its claim until nothing has renewed it for longer than any step may take: then it is abandoned.
"""

from __future__ import annotations

import re
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from coalmine.database import Database
from coalmine.errors import BadInput, NothingToDo
from coalmine.pipeline.due import Due, Facts, due
from coalmine.pipeline.policy import Retraining

SLACK = 900.0  # seconds beside a step's own limit: what a scheduler waits between two of its tries

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,199}\Z")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, reason TEXT NOT NULL, why TEXT NOT NULL, started REAL NOT NULL, renewed REAL NOT NULL,
    ended REAL, outcome TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '');
"""
_COLUMNS = "id, reason, why, started, renewed, ended, outcome, detail"
RELEASED, NO_BETTER, FAILED, ABANDONED = "released", "no better", "failed", "abandoned"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `outcome` is empty while it goes on; `detail` says what came of it."""

    id: str
    reason: str
    why: str
    started: float
    renewed: float
    ended: float | None
    outcome: str
    detail: str


def check_id(run_id: str) -> str:
    """It names a folder. Raises BadInput for what no scheduler would give."""
    if not _ID.match(run_id):
        raise BadInput(f"{run_id!r} is no run id", where="--run", remedy="letters, digits and . _ : + -, at most 200")
    return run_id


class Runs:
    """Each operation is one transaction. Raises Temporary if the file stays locked, Broken if damaged."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "record of runs", _SCHEMA)
        self._database.create()

    def claim(self, run_id: str, policy: Retraining, facts: Facts, *, by_hand: bool = False) -> Run:
        """Begin the run if one is due, or go on with it. Whoever calls twice with one id gets the same run.

        Raises: NothingToDo with the reason where none is due, another goes on, or this one has ended.
        """
        with self._database.open(write=True) as db:
            known = _one(db, run_id)
            if known is None:
                _abandon(db, facts.now - policy.limits.seconds - SLACK, facts.now)
                answer = self._due(db, policy, facts, by_hand=by_hand)
                if answer.reason is None:
                    raise NothingToDo(answer.why, where=f"run {run_id}")
                db.execute(
                    "INSERT INTO runs(id, reason, why, started, renewed) VALUES (?, ?, ?, ?, ?)",
                    (run_id, answer.reason.value, answer.why, facts.now, facts.now),
                )
        return self.go_on(run_id)

    def go_on(self, run_id: str) -> Run:
        """Renew the claim; a failed or abandoned run is opened again if no other goes on.

        Raises: BadInput for a run that never began; NothingToDo where it ended well or another goes on.
        """
        with self._database.open(write=True) as db:
            known = _one(db, run_id)
            if known is None:
                remedy = "begin it: coalmine pipeline start --run <id>"
                raise BadInput("no such run", where=f"run {run_id}", remedy=remedy)
            if known.outcome in {RELEASED, NO_BETTER}:
                raise NothingToDo(f"it has ended, {known.outcome}: {known.detail}", where=f"run {run_id}")
            other = db.execute("SELECT id FROM runs WHERE ended IS NULL AND id <> ?", (run_id,)).fetchone()
            if other:
                raise NothingToDo(f"run {other[0]} goes on", where=f"run {run_id}")
            again = "UPDATE runs SET renewed = ?, ended = NULL, outcome = '', detail = '' WHERE id = ?"
            db.execute(again, (time.time(), run_id))
            found = _one(db, run_id)
        return found if found is not None else known

    def end(self, run_id: str, outcome: str, detail: str) -> None:
        """The run is over; the next may begin. The first word stays."""
        with self._database.open(write=True) as db:
            db.execute(
                "UPDATE runs SET ended = ?, outcome = ?, detail = ? WHERE id = ? AND ended IS NULL",
                (time.time(), outcome, detail, run_id),
            )

    def due(self, policy: Retraining, facts: Facts) -> Due:
        """What `claim` would answer, with nothing begun."""
        with self._database.open() as db:
            return self._due(db, policy, facts, by_hand=False)

    def last_started(self) -> float | None:
        with self._database.open() as db:
            found: float | None = db.execute("SELECT max(started) FROM runs").fetchone()[0]
        return found

    def last_learnt(self) -> float | None:
        """When the last run began that learnt from the votes of its day: what a failed one left is still new."""
        query = "SELECT max(started) FROM runs WHERE outcome NOT IN (?, ?)"
        with self._database.open() as db:
            found: float | None = db.execute(query, (FAILED, ABANDONED)).fetchone()[0]
        return found

    def get(self, run_id: str) -> Run:
        """Raises BadInput for a run that never began."""
        with self._database.open() as db:
            found = _one(db, run_id)
        if found is None:
            raise BadInput("no such run", where=f"run {run_id}", remedy="see `coalmine pipeline runs`")
        return found

    def count(self) -> int:
        """How many have begun: an incremental policy trains in full now and then."""
        with self._database.open() as db:
            return int(db.execute("SELECT count(*) FROM runs").fetchone()[0])

    def latest(self, limit: int = 20) -> list[Run]:
        """The newest first."""
        query = f"SELECT {_COLUMNS} FROM runs ORDER BY started DESC LIMIT ?"  # noqa: S608 (a constant of this module)
        with self._database.open() as db:
            return [Run(*row) for row in db.execute(query, (limit,))]

    @staticmethod
    def _due(db: sqlite3.Connection, policy: Retraining, facts: Facts, *, by_hand: bool) -> Due:
        dead = facts.now - policy.limits.seconds - SLACK
        row = db.execute("SELECT id FROM runs WHERE ended IS NULL AND renewed > ?", (dead,)).fetchone()
        last = db.execute("SELECT max(started) FROM runs").fetchone()[0]
        now = Facts(facts.now, row[0] if row else "", facts.rolling, last, facts.labels, facts.drifted)
        return due(policy.when, now, by_hand=by_hand)


def _one(db: sqlite3.Connection, run_id: str) -> Run | None:
    query = f"SELECT {_COLUMNS} FROM runs WHERE id = ?"  # noqa: S608 (a constant of this module)
    row = db.execute(query, (run_id,)).fetchone()
    return Run(*row) if row else None


def _abandon(db: sqlite3.Connection, before: float, now: float) -> None:
    db.execute(
        "UPDATE runs SET ended = ?, outcome = ?, detail = 'nothing was heard of it'"
        " WHERE ended IS NULL AND renewed <= ?",
        (now, ABANDONED, before),
    )
