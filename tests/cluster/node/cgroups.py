"""The cgroup that holds every process of the bench, in each hierarchy of cgroup v1: how `down` finds them all.

A process cannot leave it by forking, detaching or losing its parent, so what is in it is the bench's and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from coalmine.errors import Broken, Missing

NAME = "coalmine-bench"
ENGINES = "engines"  # below it; pods have a folder of their own beside
_SHARES = 20 * 1024  # of the processor: of twenty programs, not of the one that the kernel takes a group for
_PATIENCE = 30.0  # seconds; a killed process with much memory takes some


def hierarchies() -> list[Path]:
    """Where the machine has cgroup v1 mounted, one path each. Raises Missing if it has not."""
    found = _mounted()
    if not any((top / "cpuset.cpus").exists() for top in found):
        remedy = "use a cluster of your own there, kind for one: KUBECONFIG=... make test-cluster"
        raise Missing("the bench's node was tried on cgroup v1 alone, and this machine has none", remedy=remedy)
    return found


def make() -> None:
    """Create the cgroups; nothing happens to those that are there."""
    for top in hierarchies():
        for group in (top / NAME, top / NAME / ENGINES):
            group.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):  # empty at first, and then no process may enter
                if (group / name).exists():
                    (group / name).write_text((group.parent / name).read_text())
        if (top / NAME / "cpu.shares").exists():
            (top / NAME / "cpu.shares").write_text(str(_SHARES))


def inside(command: Sequence[str]) -> list[str]:
    """`command`, changed so that it enters the cgroup before it begins; its pid stays."""
    doors = [str(top / NAME / ENGINES / "cgroup.procs") for top in hierarchies()]
    enter = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 71; shift; done; shift; exec "$@"'
    return ["/bin/sh", "-c", enter, "enter", *doors, "--", *command]


def adopt(pid: int) -> None:
    """Move a running process, with the children that it will have, into the cgroup."""
    for top in hierarchies():
        (top / NAME / ENGINES / "cgroup.procs").write_text(str(pid))


def members() -> set[int]:
    """The processes in the bench's cgroups, pods among them."""
    found: set[int] = set()
    for group in groups():
        with contextlib.suppress(OSError):  # it may go while we look
            found.update(int(line) for line in (group / "cgroup.procs").read_text().split())
    return found - {0}


def kill() -> None:
    """End every member at once; returns when none is left. Raises Broken if one does not die."""
    deadline = time.monotonic() + _PATIENCE
    while left := members():
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise Broken(f"these processes of the bench do not die: {sorted(left)}", remedy="look at their stacks")
        time.sleep(0.02)


def remove() -> None:
    """Delete the cgroups. Raises Broken if one is still busy after a while."""
    deadline = time.monotonic() + _PATIENCE
    for group in groups():  # the deepest first
        while True:
            try:
                group.rmdir()
            except FileNotFoundError:
                break
            except OSError as problem:
                if problem.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise Broken(f"cannot remove the cgroup: {problem}", where=str(group)) from problem
                time.sleep(0.05)  # a process that has just died is still being counted
            else:
                break


def groups() -> Iterator[Path]:
    """Every cgroup of the bench, the deepest first."""
    for top in _mounted():
        for folder, _, _ in os.walk(top / NAME, topdown=False):
            yield Path(folder)


def _mounted() -> list[Path]:
    lines = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted({Path(words[4]) for words in lines if words[words.index("-") + 1] == "cgroup"})
