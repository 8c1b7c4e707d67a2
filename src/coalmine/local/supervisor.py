"""Keeps the long-running parts alive: what should run is a list, what runs is on disk, `reconcile` makes them agree.

A part that dies is started again, at once the first time and then with a growing pause. A part that outlived
our own death is adopted if its command has not changed, so that traffic never notices a restart of ours.
"""

from __future__ import annotations

import hashlib
import json
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from coalmine.local import process

log = structlog.get_logger()
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Part:
    """One long-running process of the runtime."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    end: int = signal.SIGTERM
    reads: str = ""  # what its command only names, such as a configuration file's content

    @property
    def digest(self) -> str:
        """Changes when the part would be started differently: then the running one is replaced."""
        told = json.dumps([list(self.command), sorted(self.env.items()), self.reads])
        return hashlib.sha256(told.encode()).hexdigest()


@dataclass(slots=True)
class _Life:
    started: float = 0.0
    failures: int = 0
    restarts: int = 0  # all of them; its record carries the number past our own death
    not_before: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Owns the records in `folder` and the logs in `logs`; one of it runs for a state folder (see `up`)."""

    folder: Path
    logs: Path
    parts: Sequence[Part]
    _lives: dict[str, _Life] = field(default_factory=dict)

    def reconcile(self, *, hold: Collection[str] = ()) -> None:
        """Start what should run and does not, except those to `hold`. Called again and again; cheap if all is well."""
        for part in self.parts:
            life = self._lives.setdefault(part.name, _Life())
            record = process.read(self.folder, part.name)
            if record is not None and process.alive(record):
                if record.marks.get("digest") == part.digest:
                    continue
                log.info("replacing", part=part.name, why="its settings changed")
                process.stop(record)
            elif record is not None:
                process.stop(record)  # what it has left behind, such as workers that hold its port
                process.forget(self.folder, part.name)
                life.restarts = int(record.marks.get("restarts", "0")) + 1
                self._died(part, life)
            if part.name not in hold and time.monotonic() >= life.not_before:
                self._start(part, life)

    def _start(self, part: Part, life: _Life) -> None:
        _, child = process.start(
            self.folder,
            part.name,
            command=part.command,
            env=part.env,
            log=self.logs / f"{part.name}.log",
            marks={"digest": part.digest, "restarts": str(life.restarts)},
            end=part.end,
        )
        child.returncode = 0  # from here on its record is what counts; `process.alive` reaps it
        life.started = time.monotonic()
        log.info("started", part=part.name, pid=child.pid)

    def _died(self, part: Part, life: _Life) -> None:
        """A part that had run a minute starts anew at once, others after a growing pause."""
        life.failures = 1 if time.monotonic() - life.started > 60 else life.failures + 1
        pause = 0.0 if life.failures == 1 else min(LONGEST_PAUSE, 2.0 ** (life.failures - 2))
        life.not_before = time.monotonic() + pause
        log.warning("ended by itself", part=part.name, again_in=pause, log=str(self.logs / f"{part.name}.log"))

    def running(self, name: str) -> bool:
        return process.alive(process.read(self.folder, name))
