"""nginx's JSON access log, read on by inode and offset: rotation, truncation, half lines and restarts lose nothing.

Only lines with an arm count (the edge's own answers have none), and first attempts only: a client's retry would
count one failure as two units.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from coalmine.judge.sources import Batch, Line, Lines, Position, user_number
from coalmine.judge.sources.layout import Layout, counts_not, last
from coalmine.judge.sources.lines import NO_LINES
from coalmine.judge.sources.words import Text

_LARGEST = 10**12

_CHUNK = 4 << 20
_HEAD = 64  # bytes that tell a file from another that got its inode, or from one truncated and grown again
_GRACE = 1.0  # seconds without a write after which a rotated file is done: workers reopen one after the other


class AccessLog:
    """A Source of Line over one log file and its rotated siblings (`access.jsonl.1`, ...)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._inode = -1
        self._layout = Layout()

    def read(self, position: Position | None) -> Batch[Line]:
        """Up to 4 MiB of whole lines after `position`. A file that is not there is no data."""
        if position is None:
            return Batch(NO_LINES, self._end())
        file = self._open(int(position["inode"]))
        if file is None:
            return self._first_of_next(position)
        offset = int(position["offset"])
        head = os.pread(file, _HEAD, 0).hex()
        if os.fstat(file).st_size < offset or not head.startswith(str(position["head"])):
            offset = 0
        data = os.pread(file, _CHUNK, offset)
        whole = data.rfind(b"\n") + 1 or (len(data) if len(data) == _CHUNK else 0)
        if not whole and self._is_done(file):
            return self._first_of_next(position)
        lines, skipped = parse(memoryview(data)[:whole], self._layout)
        place: Position = {"inode": self._inode, "offset": offset + whole, "head": head if offset + whole else ""}
        return Batch(lines, place, more=len(data) == _CHUNK, skipped=skipped)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file, self._inode = None, -1

    def _end(self) -> Position:
        """Where a judge that has no past begins: after the last whole line. What was before is nobody's canary."""
        try:
            with self._path.open("rb") as log:
                status = os.fstat(log.fileno())
                start = max(0, status.st_size - _CHUNK)
                log.seek(start)
                whole = log.read().rfind(b"\n") + 1
                head = os.pread(log.fileno(), _HEAD, 0).hex() if start + whole else ""
                return {"inode": status.st_ino, "offset": start + whole, "head": head}
        except OSError:
            return {"inode": 0, "offset": 0, "head": ""}

    def _first_of_next(self, position: Position) -> Batch[Line]:
        """The file of the position is finished or gone: go on at the beginning of the one that bears the name now."""
        try:
            inode = self._path.stat().st_ino
        except OSError:
            return Batch(NO_LINES, position)
        if inode == self._inode:
            return Batch(NO_LINES, position)
        self.close()
        return (
            self.read({"inode": inode, "offset": 0, "head": ""})
            if self._open(inode) is not None
            else Batch(NO_LINES, position)
        )

    def _is_done(self, file: int) -> bool:
        try:
            named = self._path.stat().st_ino
        except OSError:
            return False
        return named != self._inode and time.time() - os.fstat(file).st_mtime > _GRACE

    def _open(self, inode: int) -> int | None:
        """The open file with this inode: kept open, so a rotated file can be finished even after its deletion."""
        if self._file is not None and self._inode == inode:
            return self._file
        self.close()
        for path in (self._path, *sorted(self._path.parent.glob(self._path.name + "?*"))):
            try:
                file = os.open(path, os.O_RDONLY)
            except OSError:
                continue
            if os.fstat(file).st_ino == inode:
                self._file, self._inode = file, inode
                return file
            os.close(file)
        return None


def parse(data: bytes | memoryview, layout: Layout | None = None) -> tuple[Lines, int]:
    """The lines that count, and how many were no JSON object of the log's format. `layout` is faster when kept."""
    if not data:
        return NO_LINES, 0
    if data[-1] != ord("\n"):
        data = bytes(data) + b"\n"
    text = Text(data)
    ends = np.flatnonzero(text.bytes == ord("\n"))
    begins = np.concatenate([[0], ends[:-1] + 1])
    walked = (layout or Layout()).walk(text, begins, ends)
    others = np.flatnonzero(~walked.fits)
    found: list[Line] = []
    places: list[int] = []
    skipped = 0
    for place in others.tolist():
        try:
            line = _line(json.loads(bytes(data[begins[place] : ends[place]])))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            skipped += 1
            continue
        if line is not None:
            found.append(line)
            places.append(place)
    if not found:
        return walked.lines, skipped
    order = np.argsort(np.concatenate([walked.counts, np.array(places, dtype=np.int64)]), kind="stable")
    return Lines.merged(walked.lines, Lines.of(found), order), skipped


def _line(row: dict[str, Any]) -> Line | None:
    arm = row["arm"]
    if arm not in ("primary", "canary") or int(row.get("attempt") or 1) > 1:
        return None
    status, upstream = int(row["status"]), str(row.get("upstream_status") or "")
    if counts_not(status, upstream):
        return None
    t, weight, epoch = float(row["t"]), int(row["weight"] or 0), int(row["epoch"] or 0)
    if not 0 < t < _LARGEST or max(abs(weight), abs(epoch), abs(status)) > _LARGEST:
        raise ValueError("no time, weight, epoch or status")
    return Line(
        t=t,
        arm=arm,
        release=str(row["release"]),
        weight=weight,
        epoch=epoch,
        status=status,
        upstream_failed=last(upstream).startswith("5"),
        seconds=_seconds(row),
        user=user_number(str(row.get("user") or "")),
        canary=str(row.get("canary") or ""),
    )


def _seconds(row: dict[str, Any]) -> float | None:
    """The service's own processing time hardly depends on load: the better one to compare arms by."""
    own = str(row.get("service_ms") or "")
    if own not in ("", "-"):
        return float(own) / 1000
    upstream = last(str(row.get("upstream_seconds") or ""))
    if upstream not in ("", "-"):
        return float(upstream)
    return float(row["seconds"]) if "seconds" in row else None
