"""What is remembered of releases: which are known, which are quarantined, what a closing has done, where reports lie.

Shared by `package`, the push check, the controller and the command line.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path

from coalmine.database import Database
from coalmine.errors import Refused
from coalmine.records import Ending, Outcome, Release, ReleaseId, Report

_SCHEMA = """
CREATE TABLE IF NOT EXISTS releases (
    model TEXT NOT NULL, id TEXT NOT NULL, created REAL NOT NULL, body TEXT NOT NULL, PRIMARY KEY (model, id));
CREATE TABLE IF NOT EXISTS quarantine (
    model TEXT NOT NULL, id TEXT NOT NULL, attempt INTEGER NOT NULL, reason TEXT NOT NULL, t REAL NOT NULL,
    lifted REAL, lifted_by TEXT, lifted_because TEXT, PRIMARY KEY (model, id, attempt));
CREATE TABLE IF NOT EXISTS closings (
    model TEXT NOT NULL, attempt INTEGER NOT NULL, outcome TEXT NOT NULL, t REAL NOT NULL, ending TEXT NOT NULL,
    done REAL, PRIMARY KEY (model, attempt, outcome));
CREATE TABLE IF NOT EXISTS closing_steps (
    model TEXT NOT NULL, attempt INTEGER NOT NULL, outcome TEXT NOT NULL, step TEXT NOT NULL, t REAL NOT NULL,
    detail TEXT NOT NULL, PRIMARY KEY (model, attempt, outcome, step));
CREATE TABLE IF NOT EXISTS reports (
    model TEXT NOT NULL, id TEXT NOT NULL, attempt INTEGER NOT NULL, html TEXT NOT NULL, json TEXT NOT NULL,
    complete INTEGER NOT NULL, t REAL NOT NULL, PRIMARY KEY (model, id, attempt));
CREATE TABLE IF NOT EXISTS primary_release (model TEXT PRIMARY KEY, id TEXT, t REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why a release may not be tried again without forcing. `lifted` is None as long as it is in force."""

    model: str
    release: ReleaseId
    attempt: int
    reason: str
    t: float
    lifted: float | None = None
    lifted_by: str = ""  # the commit that forced it
    lifted_because: str = ""


class Ledger:
    """Idempotent operations, each one transaction. Raises Temporary if the file stays locked, Broken if damaged."""

    def __init__(self, database: Path) -> None:
        self._database = Database(database, "ledger", _SCHEMA)
        database.parent.mkdir(parents=True, exist_ok=True)
        with self._database.open() as db:
            made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'primary_release'").fetchone()
        if not made:
            self._database.create()

    # ---- releases ---------------------------------------------------------------------------------------------

    def add(self, release: Release) -> Release:
        """Remember a built release; returns the stored one.

        Raises:
            Refused: the id is known with other content. A release is never changed; another build needs another id.
        """
        with self._database.open(write=True) as db:
            row = db.execute(
                "SELECT body FROM releases WHERE model = ? AND id = ?", (release.model, str(release.id))
            ).fetchone()
            if row is None:
                db.execute(
                    "INSERT INTO releases VALUES (?, ?, ?, ?)",
                    (release.model, str(release.id), release.created, _dump(release)),
                )
                return release
        known = _release(row[0])
        if (known.bento_digest, known.run_id) != (release.bento_digest, release.run_id):
            raise Refused(
                f"{release.id} was built before with other content",
                where=release.model,
                remedy="commit the change that made it differ, then `coalmine package` gives it a new id",
            )
        return known

    def find(self, model: str, release: ReleaseId) -> Release | None:
        with self._database.open() as db:
            row = db.execute("SELECT body FROM releases WHERE model = ? AND id = ?", (model, str(release))).fetchone()
        return _release(row[0]) if row else None

    def releases(self, model: str = "") -> list[Release]:
        """Known releases, newest first; of all models where none is named."""
        with self._database.open() as db:
            rows = db.execute(
                "SELECT body FROM releases WHERE ? IN ('', model) ORDER BY created DESC, id DESC", (model,)
            ).fetchall()
        return [_release(row[0]) for row in rows]

    # ---- what is primary, as the controller last said -----------------------------------------------------------

    def set_primary(self, model: str, release: ReleaseId | None) -> None:
        with self._database.open(write=True) as db:
            db.execute(
                "INSERT INTO primary_release VALUES (?, ?, ?)"
                " ON CONFLICT (model) DO UPDATE SET id = excluded.id, t = excluded.t",
                (model, str(release) if release else None, time.time()),
            )

    def primary(self, model: str) -> ReleaseId | None:
        with self._database.open() as db:
            row = db.execute("SELECT id FROM primary_release WHERE model = ?", (model,)).fetchone()
        return ReleaseId.parse(row[0]) if row and row[0] else None

    # ---- quarantine -------------------------------------------------------------------------------------------

    def quarantine(self, model: str, release: ReleaseId, *, attempt: int, reason: str) -> None:
        """Put a release in quarantine because of one attempt; said again for the same attempt it changes nothing."""
        with self._database.open(write=True) as db:
            db.execute(
                "INSERT OR IGNORE INTO quarantine (model, id, attempt, reason, t) VALUES (?, ?, ?, ?, ?)",
                (model, str(release), attempt, reason, time.time()),
            )

    def quarantined(self, model: str, release: ReleaseId) -> Quarantine | None:
        """The newest quarantine in force, or None."""
        in_force = [entry for entry in self.quarantines(model, release) if entry.lifted is None]
        return in_force[0] if in_force else None

    def quarantines(self, model: str, release: ReleaseId | None = None) -> list[Quarantine]:
        """All entries, lifted ones too, newest first."""
        wanted = str(release) if release else ""
        with self._database.open() as db:
            rows = db.execute(
                "SELECT model, id, attempt, reason, t, lifted, lifted_by, lifted_because FROM quarantine"
                " WHERE model = ? AND ? IN ('', id) ORDER BY attempt DESC",
                (model, wanted),
            ).fetchall()
        return [
            Quarantine(row[0], ReleaseId.parse(row[1]), row[2], row[3], row[4], row[5], row[6] or "", row[7] or "")
            for row in rows
        ]

    def lift(self, model: str, release: ReleaseId, *, commit: str, reason: str) -> None:
        """Record that a push forced the release through; a later failed attempt puts it back."""
        with self._database.open(write=True) as db:
            db.execute(
                "UPDATE quarantine SET lifted = ?, lifted_by = ?, lifted_because = ?"
                " WHERE model = ? AND id = ? AND lifted IS NULL",
                (time.time(), commit, reason, model, str(release)),
            )

    # ---- closings ---------------------------------------------------------------------------------------------

    def begin(self, ending: Ending) -> None:
        """Remember that an attempt ended so that its closing survives a crash."""
        with self._database.open(write=True) as db:
            db.execute(
                "INSERT OR IGNORE INTO closings (model, attempt, outcome, t, ending) VALUES (?, ?, ?, ?, ?)",
                (*_key(ending), time.time(), _dump(ending)),
            )

    def record(self, ending: Ending, step: str, detail: str = "") -> None:
        """A step of the closing is done; the first word on it stands."""
        with self._database.open(write=True) as db:
            db.execute(
                "INSERT OR IGNORE INTO closing_steps VALUES (?, ?, ?, ?, ?, ?)",
                (*_key(ending), step, time.time(), detail),
            )

    def steps(self, ending: Ending) -> dict[str, str]:
        """Steps done, each with its detail, in the order in which they were done."""
        with self._database.open() as db:
            rows = db.execute(
                "SELECT step, detail FROM closing_steps WHERE model = ? AND attempt = ? AND outcome = ? ORDER BY rowid",
                _key(ending),
            ).fetchall()
        return dict(rows)

    def finish(self, ending: Ending) -> None:
        with self._database.open(write=True) as db:
            db.execute(
                "UPDATE closings SET done = coalesce(done, ?) WHERE model = ? AND attempt = ? AND outcome = ?",
                (time.time(), *_key(ending)),
            )

    def closings(self, model: str = "", *, unfinished: bool = False) -> list[Ending]:
        """Endings whose closing has begun, oldest first."""
        with self._database.open() as db:
            rows = db.execute(
                "SELECT ending FROM closings WHERE ? IN ('', model) AND (? OR done IS NULL) ORDER BY rowid",
                (model, not unfinished),
            ).fetchall()
        return [_ending(row[0]) for row in rows]

    # ---- reports ----------------------------------------------------------------------------------------------

    def add_report(self, model: str, attempt: int, report: Report, *, complete: bool) -> None:
        """Where the report lies; written again it replaces, since a report may be completed later."""
        with self._database.open(write=True) as db:
            db.execute(
                "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?)",
                (model, str(report.release), attempt, report.html, report.json, complete, time.time()),
            )

    def reports(self, model: str, *, incomplete: bool = False) -> list[tuple[int, Report]]:
        """(attempt, report), newest first."""
        with self._database.open() as db:
            rows = db.execute(
                "SELECT attempt, id, html, json FROM reports WHERE model = ? AND (? OR NOT complete)"
                " ORDER BY attempt DESC",
                (model, not incomplete),
            ).fetchall()
        return [(row[0], Report(ReleaseId.parse(row[1]), html=row[2], json=row[3])) for row in rows]


def _key(ending: Ending) -> tuple[str, int, str]:
    return ending.model, ending.attempt, ending.outcome.value


def _dump(record: Release | Ending) -> str:
    body = {item.name: getattr(record, item.name) for item in dataclasses.fields(record)}
    return json.dumps(body, default=str, sort_keys=True)


def _release(text: str) -> Release:
    body = json.loads(text)
    return Release(**body | {"id": ReleaseId.parse(body["id"])})


def _ending(text: str) -> Ending:
    body = json.loads(text)
    primary = ReleaseId.parse(body["primary"]) if body["primary"] else None
    known = {"release": ReleaseId.parse(body["release"]), "primary": primary, "outcome": Outcome(body["outcome"])}
    return Ending(**body | known)
