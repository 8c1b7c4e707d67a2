"""What keeps the lake small and honest: compaction, retention, and a check of what should hold."""

from __future__ import annotations

import time
from dataclasses import dataclass

import polars as pl

from coalmine.errors import CoalmineError
from coalmine.feedback import snapshots
from coalmine.feedback.lake import DAY, Lake
from coalmine.feedback.tables import FEEDBACK, KEYS, LABELS, PREDICTIONS, SNAPSHOTS, Table, day_of, told
from coalmine.records import Snapshot

STRAY_HOURS = 7 * 24  # a file that no version names may be one that somebody is writing


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction did to one table."""

    table: str
    files_before: int
    files_after: int
    expired: int  # rows past their time
    removed: int  # files deleted from storage


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check."""

    what: str
    found: str
    ok: bool = True
    remedy: str = ""


def compact(lake: Lake, *, now: float | None = None) -> list[Compacted]:
    """Join, merge small files, delete what is older than `keep_days`, and then the files that nothing names any more.

    A snapshot keeps its files, until it is itself older than `keep_days`.
    """
    now = time.time() if now is None else now
    oldest = day_of(now - lake.settings.keep_days * DAY)
    with lake.alone():
        lake.label()
        _expire_snapshots(lake, now - lake.settings.keep_days * DAY)
        kept = [one for one, lost in snapshots.recorded(lake) if not lost]
        marks = []
        done = []
        for name in (FEEDBACK, PREDICTIONS):
            before = lake.tables[name].open().version()
            done.append(_compact(lake.tables[name], kept, oldest))
            # Nothing new has come into the table: the next join need not look at the compacted files.
            if lake.tables[LABELS].mark(f"join/{name}") == before:
                marks.append((f"join/{name}", lake.tables[name].open().version()))
        done += [_compact(lake.tables[name], kept, oldest, marks=marks) for name in (LABELS, SNAPSHOTS)]
    return done


def _expire_snapshots(lake: Lake, before: float) -> None:
    for one, lost in snapshots.recorded(lake):
        if not lost and one.made_at < before:
            snapshots.lose(lake, one, "it is older than the lake keeps rows (keep_days)")


def _compact(
    table: Table, kept: list[Snapshot], oldest: str, *, marks: list[tuple[str, int]] | None = None
) -> Compacted:
    with told(table.url):
        before = len(table.files())
        expired = 0
        if table.name != SNAPSHOTS:
            expired = int(table.open().delete(f"day < '{oldest}'")["num_deleted_rows"] or 0)
        table.open().optimize.compact(commit_properties=table.marked(*(marks or []) if table.name == LABELS else []))
        removed = sweep(table, kept, hours=STRAY_HOURS, full=True)
        table.open().create_checkpoint()
    return Compacted(table.name, before, len(table.files()), expired, removed)


def sweep(table: Table, kept: list[Snapshot], *, hours: int, full: bool) -> int:
    """Delete the files that neither the newest version nor one of the snapshots names."""
    versions = sorted({one.versions[table.name] for one in kept if table.name in one.versions})
    gone = table.open().vacuum(
        retention_hours=hours,
        dry_run=False,
        enforce_retention_duration=False,
        full=full,
        keep_versions=versions or None,
    )
    return len(gone)


def check(lake: Lake) -> list[Finding]:
    """What the tables hold, and whether it is as it should be: nothing twice, nothing without its prediction."""
    found = [_table(lake.tables[name]) for name in (PREDICTIONS, FEEDBACK, LABELS)]
    return [*found, _waiting(lake), _orphans(lake), *_snapshots(lake)]


def _table(table: Table) -> Finding:
    key = KEYS[table.name]
    rows, keys = table.scan().select(pl.len(), pl.col(key).n_unique().alias("keys")).collect(engine="streaming").row(0)
    files = table.files()
    return Finding(
        table.name,
        f"{rows:,} rows, {rows - keys:,} of them twice, in {len(files):,} files at version {table.open().version()}",
        ok=rows == keys,
        remedy="" if rows == keys else "somebody else wrote into the table: a join counts each event once all the same",
    )


def _waiting(lake: Lake) -> Finding:
    said = lake.tables[FEEDBACK].scan().select("prediction").unique()
    known = lake.tables[PREDICTIONS].scan().select(pl.col("id").alias("prediction"))
    waiting = said.join(known, on="prediction", how="anti").select(pl.len()).collect().item()
    return Finding("feedback without a prediction", f"{waiting:,}: joined when the prediction comes")


def _orphans(lake: Lake) -> Finding:
    known = lake.tables[PREDICTIONS].scan().select(pl.col("id").alias("prediction"))
    orphans = lake.tables[LABELS].scan().join(known, on="prediction", how="anti").select(pl.len()).collect().item()
    remedy = "" if not orphans else "predictions were deleted by other means than ours: see `coalmine lake erase`"
    return Finding("labels without a prediction", f"{orphans:,}", ok=not orphans, remedy=remedy)


def _snapshots(lake: Lake) -> list[Finding]:
    found = []
    for one, lost in snapshots.recorded(lake):
        what = f"snapshot {one.digest[:12]}"
        try:
            if not lost:
                snapshots.rows(lake, one)
        except CoalmineError as error:
            found.append(Finding(what, error.what, ok=False, remedy=error.remedy))
        else:
            found.append(Finding(what, f"lost: {lost}" if lost else f"{one.rows:,} rows, rebuilt by its digest"))
    return found
