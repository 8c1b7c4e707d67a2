"""One child process: started in a session of its own, recorded on disk, adopted again after our own death.

A record holds the pid *and* the process's creation time, so that a pid which the system has given to somebody
else since is never signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

GRACE = 15.0  # seconds between TERM and KILL: above the edge's longest request


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a started process. `marks` says what it was started for (a release id, a port)."""

    name: str
    pid: int
    created: float
    marks: dict[str, str] = field(default_factory=dict)


def start(
    folder: Path,
    name: str,
    *,
    command: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    marks: Mapping[str, str] | None = None,
    piped: bool = False,
) -> tuple[Record, subprocess.Popen[bytes]]:
    """Start `command`, its output appended to `log`, and record it as `name`. With `piped` its stdin is ours."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command),
            env=dict(env),
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in our terminal is for us; we then stop the children in order
        )
    record = Record(name, child.pid, psutil.Process(child.pid).create_time(), dict(marks or {}))
    write(folder, record)
    return record, child


def write(folder: Path, record: Record) -> None:
    """Keep the record: whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{record.name}.{os.getpid()}"
    scratch.write_text(json.dumps(asdict(record)), encoding="utf-8")
    scratch.replace(folder / f"{record.name}.json")


def read(folder: Path, name: str) -> Record | None:
    """The record kept as `name`; None where there is none (or where a crash of the disk left it torn)."""
    try:
        return Record(**json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def forget(folder: Path, name: str) -> None:
    (folder / f"{name}.json").unlink(missing_ok=True)


def rename(folder: Path, record: Record, *, name: str, marks: Mapping[str, str]) -> Record:
    """The same process under another name: a warm spare that became an arm."""
    renamed = Record(name, record.pid, record.created, dict(marks))
    write(folder, renamed)
    forget(folder, record.name)
    return renamed


def alive(record: Record | None) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    if record is None:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(record.pid, os.WNOHANG)  # reaps it if it is our child and has ended
    try:
        process = psutil.Process(record.pid)
        return abs(process.create_time() - record.created) < 0.05 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def terminate(record: Record) -> None:
    """Ask it to end: TERM to the process itself, which ends its own children in order."""
    if alive(record):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)


def stop(record: Record, *, grace: float = GRACE) -> None:
    """TERM, wait, and then KILL whatever of its session is left. Returns when it is gone."""
    family = _family(record)
    terminate(record)
    deadline = time.monotonic() + grace
    while alive(record) and time.monotonic() < deadline:
        time.sleep(0.02)
    for member in family:
        if alive(member):
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
    while any(alive(member) for member in family):
        time.sleep(0.02)


def _family(record: Record) -> list[Record]:
    """The process and its descendants, each with its creation time, the eldest first."""
    if not alive(record):
        return []
    try:
        children = psutil.Process(record.pid).children(recursive=True)
        return [record, *(Record(record.name, child.pid, child.create_time()) for child in children)]
    except psutil.NoSuchProcess:
        return [record]


def memory(record: Record) -> int:
    """Proportional set size in bytes of the process with its descendants; 0 where it has gone or may not be read."""
    total = 0
    for member in _family(record):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += getattr(psutil.Process(member.pid).memory_full_info(), "pss", 0)
    return total
