"""The lake's tables: their columns, how they are opened and how rows are added.

Each is a Delta table below `settings.lake_url`, partitioned by `day` (UTC) and `tenant`. Object storage is reached with
the credentials of the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL and so on) and with nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.schema import ArrayType, PrimitiveType

from coalmine.errors import BadInput, Broken, Temporary

PREDICTIONS, FEEDBACK, LABELS, SNAPSHOTS = "predictions", "feedback", "labels", "snapshots"
PARTITIONS = ["day", "tenant"]
_FLOATS = pl.List(pl.Float32)
COLUMNS: Mapping[str, Mapping[str, pl.DataType | type[pl.DataType]]] = {
    PREDICTIONS: {
        "id": pl.String,
        "t": pl.Float64,
        "day": pl.String,
        "tenant": pl.String,
        "release": pl.String,
        "arm": pl.String,
        "model_version": pl.Int64,
        "features_digest": pl.String,
        "input": pl.String,
        "output": pl.String,
        "label": pl.String,
        "score": pl.Float64,
        "latency_ms": pl.Float64,
        "sketch": _FLOATS,
    },
    FEEDBACK: {
        "event_id": pl.String,
        "prediction": pl.String,
        "t": pl.Float64,
        "day": pl.String,
        "tenant": pl.String,
        "release": pl.String,
        "predicted_at": pl.Float64,
        "kind": pl.String,
        "value": pl.Float64,
        "correction": pl.String,
        "user": pl.String,
    },
    LABELS: {
        "prediction": pl.String,
        "t": pl.Float64,
        "day": pl.String,
        "tenant": pl.String,
        "release": pl.String,
        "arm": pl.String,
        "model_version": pl.Int64,
        "input": pl.String,
        "predicted": pl.String,
        "label": pl.String,
        "good": pl.Boolean,
        "events": pl.Int64,
        "labelled_at": pl.Float64,
    },
    SNAPSHOTS: {
        "digest": pl.String,
        "day": pl.String,
        "tenant": pl.String,
        "made_at": pl.Float64,
        "record": pl.String,
        "lost": pl.String,
    },
}
KEYS = {PREDICTIONS: "id", FEEDBACK: "event_id", LABELS: "prediction", SNAPSHOTS: "digest"}
# The log of a table repeats the least and the largest value of each of these for every file. What people wrote, and
# who, must not stand there: it would outlive its erasure.
_TOLD = {
    PREDICTIONS: "id,t,release,arm,model_version,score,latency_ms",
    FEEDBACK: "event_id,prediction,t,release,predicted_at,kind,value",
    LABELS: "prediction,t,release,arm,model_version,good,events,labelled_at",
    SNAPSHOTS: "digest,made_at",
}
_TYPES: Mapping[object, str] = {pl.String: "string", pl.Float64: "double", pl.Int64: "long", pl.Boolean: "boolean"}


def day_of(t: float) -> str:
    """The UTC date of a Unix time, as partitions name it."""
    return datetime.fromtimestamp(t, tz=UTC).strftime("%Y-%m-%d")


def frame(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as the table's columns; a column that a row lacks is null."""
    return pl.DataFrame(rows, schema=dict(COLUMNS[table]), orient="row")


@contextmanager
def told(url: str) -> Iterator[None]:
    """What storage says, as one of our errors: an unreachable or refusing store may pass by itself."""
    try:
        yield
    except TableNotFoundError as error:
        raise BadInput(f"there is no such table or version: {error}", where=url) from error
    except DeltaError as error:
        raise Broken(f"the table cannot be used: {error}", where=url, remedy="see `coalmine lake check`") from error
    except (OSError, pl.exceptions.ComputeError) as error:
        remedy = "see whether the storage answers, and the credentials in AWS_* of the environment"
        raise Temporary(f"the storage failed: {error}", where=url, remedy=remedy) from error


@dataclass(frozen=True, slots=True)
class Table:
    """One of the lake's tables, at its newest version at each call."""

    name: str
    url: str
    storage: Mapping[str, str]

    def open(self, version: int | None = None) -> DeltaTable:
        """The Delta table, made where there is none. Raises BadInput for a version that is not there."""
        with told(self.url):
            if version is None and not DeltaTable.is_deltatable(self.url, dict(self.storage)):
                self._make()
            return DeltaTable(self.url, version=version, storage_options=dict(self.storage))

    def scan(self, version: int | None = None) -> pl.LazyFrame:
        """All rows, read when asked for."""
        with told(self.url):
            return pl.scan_delta(self.open(version), storage_options=dict(self.storage) or None)

    def files(self, version: int | None = None) -> list[str]:
        """The addresses of the files that a version is made of."""
        with told(self.url):
            return self.open(version).file_uris()

    def read(self, files: list[str]) -> pl.LazyFrame:
        """The rows of some of the table's files."""
        folders = dict.fromkeys(PARTITIONS, pl.String)
        return pl.scan_parquet(
            files,
            hive_partitioning=True,
            hive_schema=pl.Schema(folders),
            storage_options=dict(self.storage) or None,
            missing_columns="insert",
        )

    def delete(self, keys: pl.DataFrame, column: str) -> int:
        """Delete the rows whose `column` is among `keys`. The table's log tells how many, never which."""
        if not len(keys):
            return 0
        with told(self.url):
            merge = self.open().merge(
                keys.select(pl.col(keys.columns[0]).alias("key").unique()),
                predicate=f"t.{column} = s.key",
                source_alias="s",
                target_alias="t",
            )
            return int(merge.when_matched_delete().execute()["num_target_rows_deleted"])

    def put(self, rows: pl.DataFrame, *marks: tuple[str, int]) -> None:
        """Insert or replace by the table's key, and move the marks in the same commit."""
        key = KEYS[self.name]
        with told(self.url):
            table = self.open()
            if not len(rows) or not table.file_uris():
                write_deltalake(table, rows, mode="append", commit_properties=self.marked(*marks))
                return
            merge = table.merge(
                rows,
                predicate=f"t.{key} = s.{key} AND t.day = s.day AND t.tenant = s.tenant",
                source_alias="s",
                target_alias="t",
                commit_properties=self.marked(*marks),
            )
            merge.when_matched_update_all().when_not_matched_insert_all().execute()

    def append(self, rows: pl.DataFrame, *, mark: tuple[str, int] | None = None) -> None:
        """Add rows in one commit; with `mark`, in the same commit, remember how far a writer has come."""
        with told(self.url):
            write_deltalake(
                self.open(), rows.select(*COLUMNS[self.name]), mode="append", commit_properties=self.marked(mark)
            )

    def mark(self, writer: str) -> int:
        """How far `writer` has come here: 0 at the beginning."""
        return self.open().transaction_version(writer) or 0

    @staticmethod
    def marked(*marks: tuple[str, int] | None) -> CommitProperties:
        """Properties of a commit that moves these marks together with its rows."""
        return CommitProperties(app_transactions=[Transaction(*mark) for mark in marks if mark])

    def _make(self) -> None:
        if "://" not in self.url:
            Path(self.url).mkdir(parents=True, exist_ok=True)
        fields = [Field(name, _delta(kind), nullable=True) for name, kind in COLUMNS[self.name].items()]
        DeltaTable.create(
            self.url,
            Schema(fields),
            mode="ignore",
            partition_by=PARTITIONS,
            configuration={
                "delta.dataSkippingStatsColumns": _TOLD[self.name],
                "delta.enableExpiredLogCleanup": "false",  # a snapshot's version is needed as long as the snapshot
            },
            storage_options=dict(self.storage),
        )


def storage_options(url: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """What object storage needs from the environment; nothing for a folder."""
    environ = os.environ if environ is None else environ
    return {name: value for name, value in environ.items() if name.startswith("AWS_")} if "://" in url else {}


def _delta(kind: pl.DataType | type[pl.DataType]) -> PrimitiveType | ArrayType:
    if kind == _FLOATS:
        return ArrayType(PrimitiveType("float"), contains_null=True)
    return PrimitiveType(_TYPES[kind])
