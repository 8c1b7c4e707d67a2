"""The lake: Delta tables of predictions, feedback and their join, on disk or on S3-compatible storage.

`ingest` adds what this machine's services wrote since the last time, `join` makes labels of it. Both may be killed at
any line and run again. One process of a state folder works on the lake at a time; readers need no lock.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from coalmine.errors import BadInput, Temporary
from coalmine.feedback import ingest as ingesting
from coalmine.feedback.ingest import Ingested, Notes
from coalmine.feedback.joining import labels
from coalmine.feedback.tables import (
    FEEDBACK,
    LABELS,
    PREDICTIONS,
    Table,
    day_of,
    storage_options,
    told,
)
from coalmine.records import Query
from coalmine.settings import Settings

_MERGED = "t.prediction = s.prediction AND t.day = s.day AND t.tenant = s.tenant"


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
        tables = {name: Table(name, f"{url}/{name}", storage) for name in (PREDICTIONS, FEEDBACK, LABELS)}
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
        """Take in what the services wrote since the last time."""
        here, notes = self.settings, Notes(self.settings.ingest)
        with self.alone():
            events = ingesting.take(
                self.tables[FEEDBACK], notes, ingesting.feedback(here.feedback_database), key="event_id"
            )
            rows = ingesting.take(self.tables[PREDICTIONS], notes, ingesting.predictions(here.predictions), key="id")
        return Ingested(predictions=rows, feedback=events)

    def join(self) -> Joined:
        """Label what feedback, or a prediction that came after its feedback, was added for since the last time."""
        with self.alone():
            return self._join()

    def _join(self) -> Joined:
        target = self.tables[LABELS]
        feedback, predictions = self.tables[FEEDBACK].open(), self.tables[PREDICTIONS].open()
        marks = [("join/feedback", feedback.version()), ("join/predictions", predictions.version())]
        before = [target.mark(name) for name, _ in marks]
        if before == [version for _, version in marks]:
            return Joined(0)
        said = self.tables[FEEDBACK].scan(feedback.version())
        rows = self.tables[PREDICTIONS].scan(predictions.version())
        made = labels(rows, said).collect()
        with told(target.url):
            self._put(target, made, marks)
        return Joined(len(made))

    @staticmethod
    def _put(target: Table, made: pl.DataFrame, marks: list[tuple[str, int]]) -> None:
        """Insert or replace, and move the marks in the same commit."""
        merge = target.open().merge(
            made,
            predicate=_MERGED,
            source_alias="s",
            target_alias="t",
            commit_properties=target.marked(*marks),
        )
        merge.when_matched_update_all().when_not_matched_insert_all().execute()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The lock of this state folder, held by the kernel: it ends with its process."""
        self.settings.ingest.mkdir(parents=True, exist_ok=True)
        with (self.settings.ingest / "lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Temporary("another process works on the lake", remedy="try again when it has ended") from None
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
