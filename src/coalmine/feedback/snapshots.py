"""A snapshot: which rows of the lake, at which version. A training run names it, and anyone rebuilds it bit for bit."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, replace

import numpy as np
import polars as pl

from coalmine.errors import BadInput, Broken, Refused
from coalmine.feedback.lake import Lake
from coalmine.feedback.tables import COLUMNS, SNAPSHOTS, day_of, frame, told
from coalmine.records import Query, Snapshot

_FIXED = {pl.Float64: "<f8", pl.Float32: "<f4", pl.Int64: "<i8", pl.Boolean: "|u1"}


def snapshot(lake: Lake, query: Query) -> Snapshot:
    """The rows of `query` as they are now; the lake remembers them, and keeps their files when it is compacted."""
    with lake.alone():  # between versions and record nobody may sweep the files away
        versions = {name: table.open().version() for name, table in lake.tables.items() if name != SNAPSHOTS}
        found = _rows(lake, query, versions[query.table])
        made = Snapshot(digest(query, found), versions, query, len(found), time.time())
        row: dict[str, object] = {
            "digest": made.digest,
            "day": day_of(made.made_at),
            "tenant": query.tenant or "default",
        }
        row |= {"made_at": made.made_at, "record": to_json(made), "lost": ""}
        lake.tables[SNAPSHOTS].append(frame(SNAPSHOTS, [row]))
    return made


def rows(lake: Lake, taken: Snapshot) -> pl.DataFrame:
    """The snapshot's rows, always in the same order.

    Raises:
        Refused: rows of it were erased, or it is past its time; the reason is said.
        BadInput: the lake has that version no more.
        Broken: it has, but with other rows than the snapshot's digest is of.
    """
    for one, lost in recorded(lake):
        if one == taken and lost:
            raise Refused(lost, where=f"snapshot {taken.digest[:12]}", remedy="make a new snapshot")
    found = _rows(lake, taken.query, taken.versions[taken.query.table])
    if digest(taken.query, found) != taken.digest:
        raise Broken(
            f"{len(found)} rows with another digest than the snapshot's {taken.rows}",
            where=lake.tables[taken.query.table].url,
            remedy="make a new snapshot; the old one's rows cannot be had any more",
        )
    return found


def recorded(lake: Lake) -> list[tuple[Snapshot, str]]:
    """All snapshots, oldest first, each with why its rows cannot be had any more (empty: they can)."""
    found = lake.tables[SNAPSHOTS].scan().select("made_at", "record", "lost").sort("made_at").collect()
    return [(from_json(record), lost) for _, record, lost in found.iter_rows()]


def named(lake: Lake, start: str) -> Snapshot:
    """The newest snapshot whose digest begins so. Raises BadInput where there is none, or several differ."""
    found = {one.digest: one for one, _ in recorded(lake) if one.digest.startswith(start)}
    if len(found) != 1:
        raise BadInput(
            f"{len(found)} snapshots begin with {start!r}", where="digest", remedy="see `coalmine lake check`"
        )
    return found.popitem()[1]


def lose(lake: Lake, taken: Snapshot, why: str) -> None:
    """Say for ever that the snapshot's rows cannot be had any more."""
    table, quoted = lake.tables[SNAPSHOTS], why.replace("'", "''")
    with told(table.url):
        table.open().update(
            predicate=f"digest = '{taken.digest}' AND made_at = {taken.made_at!r}", updates={"lost": f"'{quoted}'"}
        )


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
