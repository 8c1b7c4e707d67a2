"""Feedback as JSON lines, in and out: words that came by another way, and a copy for whoever has no Delta reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalmine.errors import BadInput, CoalmineError
from coalmine.feedback.ingest import event_row
from coalmine.feedback.lake import Lake
from coalmine.feedback.store import event_id
from coalmine.feedback.tables import COLUMNS, FEEDBACK, frame
from coalmine.feedback.token import DEFAULT_TENANT, TENANT, predicted_at
from coalmine.records import Event, Kind, Query, ReleaseId

_KNOWN = set(COLUMNS[FEEDBACK]) - {"day", "predicted_at"}
_IGNORED = {"day", "predicted_at"}  # follow from the others; an export has them
_CHUNK = 100_000


@dataclass(frozen=True, slots=True)
class Imported:
    """Lines of the file, and how many of them the lake had not yet."""

    lines: int
    added: int


def take_file(lake: Lake, path: Path) -> Imported:
    """Add the events of a file to the lake; those that it has by their event id are left out.

    The judge does not see them: it counts what came through the feedback service. Raises BadInput naming file and line;
    what stands before that line may be in the lake already, and importing again does no harm.
    """
    lines = added = 0
    with lake.alone():
        table = lake.tables[FEEDBACK]
        for rows in _chunks(path):
            lines += len(rows)
            fresh = frame(FEEDBACK, rows).unique("event_id", keep="first", maintain_order=True)
            known = table.scan().select("event_id").join(fresh.lazy(), on="event_id", how="semi").collect()
            fresh = fresh.join(known, on="event_id", how="anti")
            if len(fresh):
                table.append(fresh)
            added += len(fresh)
    return Imported(lines, added)


def write_file(lake: Lake, path: Path, query: Query) -> int:
    """Write the rows of a query, a JSON object a line; returns how many."""
    rows = lake.query(query).sort("t").collect()
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_ndjson(path)
    return len(rows)


def _chunks(path: Path) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    rows.append(_row(line, where=f"{path}:{number}"))
                if len(rows) == _CHUNK:
                    yield rows
                    rows = []
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"it cannot be read: {error}", where=str(path), remedy="give a file of JSON lines") from error
    if rows:
        yield rows


def _row(line: str, *, where: str) -> dict[str, Any]:
    remedy = 'a line is like {"prediction": "<uuid>", "release": "m1-1a2b3c4", "t": 1.7e9, "kind": "thumb", "value": 1}'
    try:
        row = json.loads(line)
        unknown = sorted(set(row) - _KNOWN - _IGNORED)
        if unknown:
            raise BadInput(f"unknown field {unknown[0]}; known are {', '.join(sorted(_KNOWN))}", where=where)
        return event_row(_event(row))
    except CoalmineError as error:
        raise BadInput(error.what, where=where, remedy=remedy) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"no event: {error!r}", where=where, remedy=remedy) from error


def _event(row: dict[str, Any]) -> Event:
    prediction, kind = str(row["prediction"]), Kind(row["kind"])
    value = None if row.get("value") is None else float(row["value"])
    correction, user = str(row.get("correction") or ""), str(row.get("user") or "")
    tenant = str(row.get("tenant") or DEFAULT_TENANT)
    if TENANT.match(tenant) is None:
        raise BadInput(f"{tenant!r} is no tenant: small letters, digits and `-`")
    if kind is Kind.CORRECTION and not correction:
        raise BadInput("a correction without the right label")
    return Event(
        str(row.get("event_id") or event_id(prediction, kind, value, correction, user)),
        *(prediction, ReleaseId.parse(str(row["release"])), predicted_at(prediction), float(row["t"]), kind),
        value=value,
        correction=correction,
        user=user,
        tenant=tenant,
    )
