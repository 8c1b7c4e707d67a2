"""The lake: Delta tables of predictions, feedback and their join, on disk or on S3-compatible storage.

`ingest` adds what this machine's services wrote since the last time, `join` makes labels of it. Both may be killed at
any line and run again. One process of a state folder works on the lake at a time; readers need no lock.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from coalmine.errors import BadInput, Temporary
from coalmine.feedback import ingest as ingesting
from coalmine.feedback.ingest import Ingested, Notes
from coalmine.feedback.joining import joined
from coalmine.feedback.tables import COLUMNS, FEEDBACK, LABELS, PREDICTIONS, Table, day_of, storage_options
from coalmine.records import Query
from coalmine.settings import Settings
from coalmine.steps.gates import tolerance_of

DAY = 86_400.0
PATIENCE = 60.0  # seconds that a process waits for another one's work on the lake


@dataclass(frozen=True, slots=True)
class Joined:
    """Labels that were written: new ones, and those that later feedback changed."""

    labels: int


@dataclass(frozen=True, slots=True)
class Lake:
    """The tables of one project."""

    settings: Settings
    tables: Mapping[str, Table]

    @classmethod
    def open(cls, settings: Settings) -> Lake:
        """The lake that the settings name; its tables are made at their first use."""
        url = settings.lake_url.rstrip("/")
        storage = storage_options(url)
        tables = {name: Table(name, f"{url}/{name}", storage) for name in COLUMNS}
        return cls(settings, tables)

    # ---- reading ------------------------------------------------------------------------------------------------

    def predictions(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        tenant: str | None = None,
        release: str | None = None,
    ) -> pl.LazyFrame:
        """Predictions made from `since` until before `until`."""
        return self.query(Query(PREDICTIONS, since, until, tenant=tenant, release=release))

    def labels(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        tenant: str | None = None,
        release: str | None = None,
    ) -> pl.LazyFrame:
        """Labels of the predictions made from `since` until before `until`."""
        return self.query(Query(LABELS, since, until, tenant=tenant, release=release))

    def query(self, query: Query, *, version: int | None = None) -> pl.LazyFrame:
        """Rows of one table, of its newest version or an older one. Raises BadInput for a table that is not there."""
        if query.table not in self.tables:
            known = ", ".join(sorted(self.tables))
            raise BadInput(f"the lake has no table {query.table!r}", where="table", remedy=f"one of {known}")
        return restricted(self.tables[query.table].scan(version), query)

    # ---- writing ------------------------------------------------------------------------------------------------

    def ingest(self) -> Ingested:
        """Take in what the services wrote since the last time; logs that were taken in long ago are removed."""
        with self.alone():
            return self.take_in()

    def join(self) -> Joined:
        """Label what feedback, or a prediction that came after its feedback, was added for since the last time."""
        with self.alone():
            return self.label()

    def take_in(self) -> Ingested:
        """As `ingest`, for whoever holds the lock."""
        here, notes = self.settings, Notes(self.settings.ingest)
        # Feedback first: whoever joins in between finds no prediction for it yet, and joins it the next time.
        events = ingesting.take(self.tables[FEEDBACK], notes, ingesting.feedback(here.feedback_database))
        table = self.tables[PREDICTIONS]
        rows = ingesting.take(table, notes, ingesting.predictions(here.predictions))
        places = notes.read(PREDICTIONS, table.mark(notes.writer)) or {}
        ingesting.remove_taken(here.predictions, places, before=time.time() - here.keep_log_days * DAY)
        return Ingested(predictions=rows, feedback=events)

    def label(self) -> Joined:
        """As `join`, for whoever holds the lock."""
        versions = {name: self.tables[name].open().version() for name in (FEEDBACK, PREDICTIONS)}
        target = self.tables[LABELS]
        before = {name: target.mark(f"join/{name}") for name in versions}
        if before == versions:
            return Joined(0)
        tolerance = tolerance_of(self.settings.project, self.settings.model)
        made = joined(self.tables, versions, before, tolerance=tolerance).collect(engine="streaming")
        target.put(made, *((f"join/{name}", version) for name, version in versions.items()))
        return Joined(len(made))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The lock of this state folder, held by the kernel: it ends with its process."""
        self.settings.ingest.mkdir(parents=True, exist_ok=True)
        with (self.settings.ingest / "lock").open("wb") as file:
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        remedy = "try again when it has ended"
                        raise Temporary("another process works on the lake", remedy=remedy) from None
                    time.sleep(0.1)
            yield


def restricted(rows: pl.LazyFrame, query: Query) -> pl.LazyFrame:
    """The rows that a query asks for; the day's partitions are passed over without being read."""
    if query.since is not None:
        rows = rows.filter(pl.col("day") >= day_of(query.since), pl.col("t") >= query.since)
    if query.until is not None:
        rows = rows.filter(pl.col("day") <= day_of(query.until), pl.col("t") < query.until)
    if query.tenant is not None:
        rows = rows.filter(pl.col("tenant") == query.tenant)
    if query.release is not None:
        rows = rows.filter(pl.col("release") == query.release)
    return rows
