"""The runtime's SQLite file, shared by several processes. A connection lives for one operation: there is nothing to
hand between threads, and a killed process leaves nothing that blocks others.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import Broken, Temporary

_BUSY_SECONDS = 10.0  # how long an operation waits for another process's; each holds the lock for milliseconds
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Database:
    """One file. `holds` names it in messages; `schema` makes its tables where they are not there (idempotent)."""

    path: Path
    holds: str
    schema: str

    def create(self) -> None:
        """Make the file and its tables. Raises Temporary if it stays locked, Broken if it is damaged."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _TRIES + 1):
            try:
                with self._connected() as db:
                    db.execute("PRAGMA journal_mode = WAL")  # stays with the file
                    db.executescript(f"BEGIN IMMEDIATE; {self.schema} COMMIT;")
                    return
            except Temporary:
                # Two first users at once: the change to WAL fails at once instead of waiting for the other's.
                if attempt == _TRIES:
                    raise
                time.sleep(0.05)

    @contextmanager
    def open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at the end of the block. Raises Temporary if locked, Broken if damaged."""
        with self._connected() as db:
            db.execute("PRAGMA synchronous = FULL")  # what was decided must outlive a power cut
            db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)) as db:
                yield db
        except sqlite3.OperationalError as error:
            raise Temporary(f"the {self.holds} is not to be had: {error}", where=str(self.path)) from error
        except sqlite3.DatabaseError as error:
            raise Broken(f"the {self.holds} is damaged: {error}", where=str(self.path)) from error
