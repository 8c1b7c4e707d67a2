"""A person's data, erased on request: rows, older versions of the tables, and the services' own files.

A person is the `user` of feedback; theirs are the events they sent and the predictions that these are about, since
nobody can vote on what they were not served. What is deleted is found by ids, so that no log of a table keeps a name.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from coalmine.errors import BadInput
from coalmine.feedback import snapshots, upkeep
from coalmine.feedback.capture import blank, parse
from coalmine.feedback.lake import Lake
from coalmine.feedback.tables import FEEDBACK, LABELS, PREDICTIONS, Table
from coalmine.files import write_whole
from coalmine.records import Snapshot

_IDS = {PREDICTIONS: "id", FEEDBACK: "prediction", LABELS: "prediction"}
_THEIRS = "WHERE prediction = ? OR (user <> '' AND user = ?)"
# The judge takes a largest seq that went back for a new file, and would count all votes again: the row stays, empty.
_EMPTY = "UPDATE votes SET prediction = 'erased-' || seq, predicted_at = 0, good = NULL, correction = '', user = ''"


@dataclass(frozen=True, slots=True)
class Erased:
    """What is gone."""

    predictions: int  # how many predictions were theirs
    rows: int  # in the lake's newest versions
    lines: int  # of prediction logs
    events: int  # of the feedback service's file
    datasets: tuple[str, ...]  # files of training rows that held one of the texts
    snapshots: tuple[str, ...]  # digests of those that cannot be rebuilt any more


def erase(lake: Lake, *, user: str = "", predictions: Sequence[str] = ()) -> Erased:
    """Erase all that `user` said and was served, or these predictions and all that was said of them.

    May be killed and run again. Models and MLflow's runs that learnt from it stay: retrain, and retire them.
    """
    if not user and not predictions:
        raise BadInput("nobody is named", where="user", remedy="give --user or --prediction")
    with lake.alone():
        lake.take_in()  # what is only in files yet is found as well
        note = lake.settings.ingest / "erasing.json"
        begun = json.loads(note.read_text(encoding="utf-8")) if note.exists() else []
        found = sorted({*_of(lake, user), *predictions, *begun})
        # Once rows are deleted nobody would find their ids again, and older versions would keep them.
        write_whole(note, json.dumps(found))
        ids = pl.DataFrame({"id": found}, schema={"id": pl.String})
        texts = _texts(lake, ids)
        rows = sum(lake.tables[name].delete(ids, column) for name, column in _IDS.items())
        lost = _lose_snapshots(lake, ids)
        kept = [one for one, why in snapshots.recorded(lake) if not why]
        for name in _IDS:
            # Older versions hold the rows still. Without `full`: a file that somebody else is writing is left alone.
            upkeep.sweep(lake.tables[name], kept, hours=0, full=False)
        known = frozenset(found)
        gone = Erased(
            len(known),
            rows,
            lines=_blank_lines(lake.settings.predictions, known),
            events=_delete_events(lake.settings.feedback_database, known, user),
            datasets=_remove_datasets(lake.settings.state / "datasets", texts),
            snapshots=lost,
        )
        note.unlink()
    return gone


def _of(lake: Lake, user: str) -> list[str]:
    if not user:
        return []
    said = lake.tables[FEEDBACK].scan().filter(pl.col("user") == user).select("prediction").unique()
    return said.collect()["prediction"].to_list()


def _texts(lake: Lake, ids: pl.DataFrame) -> list[str]:
    rows = lake.tables[PREDICTIONS].scan().join(ids.lazy(), on="id", how="semi").select("input")
    return rows.collect()["input"].drop_nulls().to_list()


def _lose_snapshots(lake: Lake, ids: pl.DataFrame) -> tuple[str, ...]:
    """Those made of a file that holds one of the rows, whether or not they asked for it."""
    lost = []
    day = datetime.fromtimestamp(time.time(), tz=UTC).strftime("%Y-%m-%d")
    for one, why in snapshots.recorded(lake):
        if not why and any(_holds(lake.tables[name], one, ids) for name in _IDS):
            snapshots.lose(lake, one, f"rows that it was made of were erased on {day}, at a person's request")
            lost.append(one.digest)
    return tuple(lost)


def _holds(table: Table, taken: Snapshot, ids: pl.DataFrame) -> bool:
    current = set(table.files())
    old = [file for file in table.files(taken.versions[table.name]) if file not in current]
    if not old:
        return False
    rows = (
        table.read(old).select(_IDS[table.name]).join(ids.lazy(), left_on=_IDS[table.name], right_on="id", how="semi")
    )
    return bool(rows.select(pl.len()).collect().item())


def _blank_lines(folder: Path, ids: frozenset[str]) -> int:
    """Written over in place: the service goes on appending."""
    blanked = 0
    for path in folder.glob("*.jsonl"):
        with path.open("r+b") as file:
            start = 0
            for line in iter(file.readline, b""):
                row = parse(line)
                if row is not None and row.id in ids:
                    file.seek(start)
                    file.write(blank(line))
                    blanked += 1
                    file.seek(start + len(line))
                start += len(line)
    return blanked


def _delete_events(database: Path, ids: Iterable[str], user: str) -> int:
    """From all tables of the feedback service's file, and from its free pages and its log as well."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("BEGIN IMMEDIATE")
        deleted = 0
        for one in [*ids, ""]:
            deleted += db.execute(f"DELETE FROM events {_THEIRS}", (one, user)).rowcount  # noqa: S608 (a constant)
            db.execute(f"DELETE FROM corrections {_THEIRS}", (one, user))  # noqa: S608 (a constant)
            db.execute(f"{_EMPTY} {_THEIRS}", (one, user))
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return deleted


def _remove_datasets(folder: Path, texts: list[str]) -> tuple[str, ...]:
    """Training rows can be collected again, without them."""
    removed = []
    for path in sorted(folder.glob("*.parquet")):
        rows = pl.scan_parquet(path)
        if "text" not in rows.collect_schema().names():
            continue
        if rows.filter(pl.col("text").is_in(texts)).select(pl.len()).collect().item():
            path.unlink()
            removed.append(path.name)
    return tuple(removed)
