"""The feedback store's votes, read on by their order of arrival; coalmine.feedback.store describes its tables."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from coalmine.judge.sources import Batch, Label, Position

_LIMIT = 20_000


class Votes:
    """A Source of Label. The store keeps one vote for each prediction; a correction without a thumb is no vote."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, position: Position | None) -> Batch[Label]:
        """Votes after `position`. No file, no table, a locked file: no data."""
        if not self._path.exists():
            return Batch((), position or {"seq": 0})
        try:
            uri = f"file:{quote(str(self._path))}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=0.2)) as database:
                return self._read(database, position)
        except sqlite3.Error:
            return Batch((), position)

    def _read(self, database: sqlite3.Connection, position: Position | None) -> Batch[Label]:
        newest = int(database.execute("SELECT coalesce(max(seq), 0) FROM votes").fetchone()[0])
        if position is None:
            return Batch((), {"seq": newest})
        after = int(position["seq"])
        if newest < after:
            after = 0  # the store was begun anew
        rows = database.execute(
            "SELECT seq, release, predicted_at, t, good, user FROM votes WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, _LIMIT),
        ).fetchall()
        labels = tuple(
            Label(release=str(release), predicted_at=float(made), t=float(t), good=bool(good), user=str(user or ""))
            for _, release, made, t, good, user in rows
            if good is not None
        )
        return Batch(labels, {"seq": int(rows[-1][0]) if rows else after}, more=len(rows) == _LIMIT)
