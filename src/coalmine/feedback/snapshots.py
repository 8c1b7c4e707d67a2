"""A snapshot: which rows of the lake, at which version. A training run names it, and anyone rebuilds it bit for bit."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, replace

import numpy as np
import polars as pl

from coalmine.errors import Broken
from coalmine.feedback.lake import Lake
from coalmine.feedback.tables import COLUMNS
from coalmine.records import Query, Snapshot

_FIXED = {pl.Float64: "<f8", pl.Float32: "<f4", pl.Int64: "<i8", pl.Boolean: "|u1"}


def snapshot(lake: Lake, query: Query) -> Snapshot:
    """The rows of `query` as they are now."""
    versions = {name: table.open().version() for name, table in lake.tables.items()}
    found = _rows(lake, query, versions[query.table])
    return Snapshot(digest(query, found), versions, query, len(found), time.time())


def rows(lake: Lake, taken: Snapshot) -> pl.DataFrame:
    """The snapshot's rows, always in the same order.

    Raises:
        BadInput: the lake has that version no more.
        Broken: it has, but with other rows than the snapshot's digest is of.
    """
    found = _rows(lake, taken.query, taken.versions[taken.query.table])
    if digest(taken.query, found) != taken.digest:
        raise Broken(
            f"{len(found)} rows with another digest than the snapshot's {taken.rows}",
            where=lake.tables[taken.query.table].url,
            remedy="make a new snapshot; the old one's rows cannot be had any more",
        )
    return found


def _rows(lake: Lake, query: Query, version: int) -> pl.DataFrame:
    columns = list(COLUMNS[query.table])
    return lake.query(query, version=version).select(columns).sort(columns[0], *columns[1:3]).collect()


def digest(query: Query, found: pl.DataFrame) -> str:
    """sha256 over the query and the rows, column by column: independent of files and of libraries' versions."""
    total = hashlib.sha256(json.dumps(asdict(query), sort_keys=True).encode())
    for name in found.columns:
        total.update(f"\n{name}\n{len(found)}\n".encode())
        _feed(total, found[name])
    return total.hexdigest()


def _feed(total: hashlib._Hash, column: pl.Series) -> None:
    """Which values are there, then the values; of texts and lists their lengths before them."""
    total.update(np.packbits(column.is_not_null().to_numpy()).tobytes())
    column = column.drop_nulls()
    if column.dtype == pl.String:
        total.update(column.str.len_bytes().to_numpy().astype("<i8").tobytes())
        total.update("".join(column.to_list()).encode())
    elif isinstance(column.dtype, pl.List):
        total.update(column.list.len().to_numpy().astype("<i8").tobytes())
        _feed(total, column.explode())
    else:
        total.update(column.to_numpy().astype(_FIXED[type(column.dtype)]).tobytes())


def to_json(taken: Snapshot) -> str:
    return json.dumps(asdict(taken), sort_keys=True, indent=1)


def from_json(text: str) -> Snapshot:
    row = json.loads(text)
    return replace(Snapshot(**row), query=Query(**row["query"]))
