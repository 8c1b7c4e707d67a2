"""From this machine's durable files into the lake: each line and each event once, whoever dies when.

How far a table has come is a number in the table itself (a Delta transaction), committed together with the rows. The
number names a small file with the places in the sources, written before the commit. So a kill before the commit leaves
a file that nothing refers to, and one after it loses nothing: the next run reads on from what the table says.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from coalmine.feedback.capture import Prediction, name_of, parse
from coalmine.feedback.store import events_since
from coalmine.feedback.tables import FEEDBACK, KEYS, PREDICTIONS, Table, day_of, frame
from coalmine.files import write_whole
from coalmine.records import Event

CHUNK = 64 << 20  # bytes of a log, and some 200,000 lines, in one commit
EVENTS = 100_000
Places: TypeAlias = dict[str, int]
Read: TypeAlias = Callable[[Places], tuple[pl.DataFrame, Places]]


@dataclass(frozen=True, slots=True)
class Ingested:
    """Rows that were added to the tables."""

    predictions: int
    feedback: int


@dataclass(frozen=True, slots=True)
class Notes:
    """The places, a file for each step, beside a name that is this state folder's own."""

    folder: Path

    @property
    def writer(self) -> str:
        path = self.folder / "writer"
        if not path.exists():
            write_whole(path, uuid.uuid4().hex)
        return path.read_text(encoding="utf-8")

    def read(self, table: str, step: int) -> Places | None:
        """The places at a step; none at the beginning, None where the notes are lost."""
        if step == 0:
            return {}
        try:
            places: Places = json.loads((self.folder / f"{table}-{step}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return places

    def write(self, table: str, step: int, places: Places) -> None:
        path = self.folder / f"{table}-{step}.json"
        write_whole(path, json.dumps(places))
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def forget(self, table: str, step: int) -> None:
        """Those before `step` are never read again."""
        for path in self.folder.glob(f"{table}-*.json"):
            if path.stem.rpartition("-")[2].isdigit() and int(path.stem.rpartition("-")[2]) < step:
                path.unlink(missing_ok=True)


def take(table: Table, notes: Notes, read: Read) -> int:
    """Read on until there is nothing new; returns how many rows were added.

    Where the notes are lost or the source is another file (a state folder put back from a copy), all is read again, and
    what the table has already is left out.
    """
    writer, added, key = notes.writer, 0, KEYS[table.name]
    while True:
        step = table.mark(writer)
        places = notes.read(table.name, step)
        rows, after = read(places or {})
        if after == (places or {}):
            return added
        if (places is None or after.get("file") != places.get("file")) and len(rows):
            known = table.scan().filter(pl.col("day").is_in(rows["day"].unique().to_list())).select(key)
            rows = rows.join(known.collect(), on=key, how="anti")
        notes.write(table.name, step + 1, after)
        table.append(rows, mark=(writer, step + 1))
        notes.forget(table.name, step + 1)
        added += len(rows)


def predictions(folder: Path) -> Read:
    """Reads on in all prediction logs. A file is known by its first line: it may be renamed."""

    def read(places: Places) -> tuple[pl.DataFrame, Places]:
        after: Places = {}
        found: list[dict[str, Any]] = []
        left = CHUNK
        for path in sorted(folder.glob("*.jsonl")):
            name = _first(path)
            if name is None:
                continue
            start = places.get(name, 0)
            whole = _whole_lines(path, start, left)
            found += [prediction_row(row) for row in map(parse, whole.splitlines(keepends=True)) if row is not None]
            left -= len(whole)
            after[name] = start + len(whole)
        return frame(PREDICTIONS, found), after

    return read


def remove_taken(folder: Path, places: Places, *, before: float) -> int:
    """Delete the logs that are in the lake to their last byte and were last written before this Unix time.

    The log of a process that runs is left alone: it may write again.
    """
    removed = 0
    for path in folder.glob("*.jsonl"):
        status = path.stat()
        name = _first(path)
        if name is not None and places.get(name) == status.st_size and status.st_mtime < before and not _in_use(path):
            path.unlink()
            removed += 1
    return removed


def _in_use(path: Path) -> bool:
    """Whether the process that this file is named after runs; a file with a time in its name is finished."""
    pid = path.stem.rpartition("-")[2]
    return pid.isdigit() and Path(f"/proc/{pid}").exists()


def feedback(database: Path) -> Read:
    """Reads on in the events of the feedback service."""

    def read(places: Places) -> tuple[pl.DataFrame, Places]:
        if not database.exists():
            return frame(FEEDBACK, []), places
        file = database.stat().st_ino
        start = places.get("seq", 0) if file == places.get("file") else 0  # another file, another count
        stored = events_since(database, start, limit=EVENTS)
        rows = frame(FEEDBACK, [event_row(event) for _, event in stored])
        return rows, {"seq": stored[-1][0], "file": file} if stored else places

    return read


def _first(path: Path) -> str | None:
    """What a log is known by, whatever it is called: its first line. None before there is a whole one."""
    with path.open("rb") as file:
        line = file.readline(1 << 20)
    return name_of(line) if line.endswith(b"\n") else None


def _whole_lines(path: Path, start: int, most: int) -> bytes:
    if most <= 0:
        return b""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(most)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == most:  # one line longer than what is left of the chunk
            return data + file.readline()
    return data[:end]


def prediction_row(row: Prediction) -> dict[str, Any]:
    """A prediction as the lake keeps it."""
    label, score = row.output.get("label"), row.output.get("score", row.output.get("value"))
    return {
        "id": row.id,
        "t": row.t,
        "day": day_of(row.t),
        "tenant": row.tenant,
        "release": row.release,
        "arm": row.arm,
        "model_version": row.model_version,
        "features_digest": row.features_digest,
        "input": row.input,
        "output": json.dumps(row.output, separators=(",", ":"), sort_keys=True),
        "label": label if isinstance(label, str) else None,
        "score": float(score) if isinstance(score, int | float) else None,
        "latency_ms": row.latency_ms,
        "sketch": row.sketch,
    }


def event_row(event: Event) -> dict[str, Any]:
    """An event as the lake keeps it."""
    return {
        "event_id": event.id,
        "prediction": event.prediction,
        "t": event.t,
        "day": day_of(event.t),
        "tenant": event.tenant,
        "release": str(event.release),
        "predicted_at": event.predicted_at,
        "kind": event.kind.value,
        "value": event.value,
        "correction": event.correction,
        "user": event.user,
    }
