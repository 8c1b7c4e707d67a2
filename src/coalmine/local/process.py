"""One child process: started in a session of its own, recorded on disk, adopted again after our own death.

A record holds the pid *and* the process's creation time, so that a pid which the system has given to somebody
else since is never signalled.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from coalmine.files import write_whole

_CLOCK = 0.05  # seconds; creation times are counted in ticks of 10 ms
GRACE = 15.0  # seconds between TERM and KILL: above the edge's longest request


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a started process. `marks` says what it was started for; `end` is the signal that ends it."""

    name: str
    pid: int
    created: float
    marks: dict[str, str] = field(default_factory=dict)
    end: int = signal.SIGTERM
    program: str = ""


def start(
    folder: Path,
    name: str,
    *,
    command: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    marks: Mapping[str, str] | None = None,
    end: int = signal.SIGTERM,
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
    record = Record(name, child.pid, born(child.pid), dict(marks or {}), end, _program(command[0]))
    write(folder, record)
    return record, child


def born(pid: int) -> float:
    """When a process was created, in Unix seconds."""
    return psutil.Process(pid).create_time()


def _program(name: str) -> str:
    """The file that runs: as the system names it, with links resolved."""
    found = shutil.which(name)
    return str(Path(found).resolve()) if found else name


def write(folder: Path, record: Record) -> None:
    """Keep the record: whole or not at all."""
    write_whole(folder / f"{record.name}.json", json.dumps(asdict(record)))


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
    renamed = replace(record, name=name, marks=dict(marks))
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
        return _same(record) and psutil.Process(record.pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def terminate(record: Record) -> None:
    """Ask it to end; it ends its own children in order."""
    if alive(record):
        _signal(record, record.end)


def stop(record: Record, *, grace: float = GRACE) -> None:
    """Ask it and all of its session to end, wait, and kill whatever is left. Returns when they are gone.

    Its session outlives it: nginx's workers go on without their master, and hold its ports.
    """
    family = session(record)
    for member in family[:1] if alive(record) else family:
        _signal(member, record.end)
    deadline = time.monotonic() + grace
    while any(alive(member) for member in family) and time.monotonic() < deadline:
        time.sleep(0.02)
    for member in family:
        if alive(member):
            _signal(member, signal.SIGKILL)
    while any(alive(member) for member in family):
        time.sleep(0.02)


def session(record: Record) -> list[Record]:
    """The living processes of the session that it began, itself first.

    A session's id is not given away again as long as one of them lives. Afterwards it may be: so nothing counts that
    is older, runs another program, or was started after a reboot or by whoever has that pid now.
    """
    if record.created < psutil.boot_time() or (psutil.pid_exists(record.pid) and not _same(record)):
        return []
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError, PermissionError):
            if os.getsid(pid) == record.pid and (created := born(pid)) > record.created - _CLOCK:
                member = psutil.Process(pid)
                if pid == record.pid or member.exe() == record.program:
                    found.append(replace(record, pid=pid, created=created))
    return sorted(found, key=lambda member: member.pid != record.pid)


def _same(record: Record) -> bool:
    """Whether the pid is still that process's, be it a zombie."""
    try:
        return abs(born(record.pid) - record.created) < _CLOCK
    except psutil.NoSuchProcess:
        return False


def _signal(record: Record, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(record.pid, number)


def memory(record: Record) -> int:
    """Proportional set size in bytes of its whole session; 0 where it has gone or may not be read."""
    total = 0
    for member in session(record):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += getattr(psutil.Process(member.pid).memory_full_info(), "pss", 0)
    return total
