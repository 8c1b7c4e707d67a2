"""A process of the bench that outlives the Python process which started it, and is always found again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from coalmine.errors import Broken

_STOP_SECONDS = 20.0
_STARTED: list[subprocess.Popen[bytes]] = []  # they may outlive whoever started them, which Python would warn of


class Daemon:
    """One process of the bench, by its pid file: `<folder>/<name>.pid`, its log beside it.

    The pid file outlives this Python process, so that the next one can stop what a crash left; it names the process's
    start time too, so that a number used again by another process is never signalled.
    """

    def __init__(self, name: str, folder: Path, *, patience: float = _STOP_SECONDS) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._file = folder / f"{name}.pid"
        self._patience = patience
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str]) -> None:
        """Start it in a session of its own (an interrupt in the terminal is for the tests), unless it runs already."""
        if self.pid() is not None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.log.parent
            )
        _STARTED.append(self._child)
        self._file.write_text(f"{self._child.pid} {_started(self._child.pid)}\n")

    def pid(self) -> int | None:
        """Of the running process; None if there is none."""
        if self._child is not None and self._child.poll() is not None:
            return None
        try:
            pid, started = self._file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if started and started == _started(int(pid)) else None

    def check(self) -> None:
        """Raises Broken with the log's end if it is gone."""
        if self.pid() is None:
            raise Broken(f"{self.name} has ended\n{self.tail()}", where=str(self.log))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask, then kill; it is gone when this returns."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, how)
            deadline = time.monotonic() + self._patience
            while self.pid() is not None and time.monotonic() < deadline:
                time.sleep(0.05)
            if self.pid() is not None:
                os.kill(pid, signal.SIGKILL)
                while self.pid() is not None:
                    time.sleep(0.05)
        if self._child is not None:
            self._child.wait()  # it may have ended between our two looks: reaped by none of them
        self._file.unlink(missing_ok=True)

    def tail(self, lines: int = 15) -> str:
        """The log's last lines."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""


def _started(pid: int) -> str:
    """Since boot, in clock ticks, as the kernel counts; empty for a process that is gone or waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]
