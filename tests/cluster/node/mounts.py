"""Mounts below the bench's folder: pods' volumes, containers' roots, network namespaces."""

from __future__ import annotations

import subprocess
from pathlib import Path

from coalmine.errors import Broken


def below(folder: Path) -> list[Path]:
    """What is mounted at or below `folder`, in the order in which it was mounted."""
    lines = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    points = [Path(_plain(words[4])) for words in lines]
    return [point for point in points if point == folder or point.is_relative_to(folder)]


def share(folder: Path) -> None:
    """Make `folder` a mount whose later mounts are seen in the containers that have it, and the other way round."""
    if folder not in below(folder):
        run("mount", "--bind", str(folder), str(folder))
    run("mount", "--make-rshared", str(folder))


def remove(folder: Path) -> None:
    """Unmount all below `folder`, the last first, also what a process still holds. Raises Broken if some stays."""
    while points := below(folder):
        before = len(points)
        for point in reversed(points):
            subprocess.run(["umount", "--lazy", str(point)], capture_output=True, check=False)
        if len(below(folder)) >= before:
            raise Broken(f"cannot unmount {points[-1]}", remedy="umount it by hand, then `make cluster-down`")


def run(*line: str) -> str:
    """A command's output. Raises Broken with what it wrote on stderr."""
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(f"{' '.join(line)}: {done.stderr.strip()}")
    return done.stdout


def _plain(name: str) -> str:
    r"""The kernel writes blanks and backslashes in octal (`\040`)."""
    return name.encode().decode("unicode_escape") if "\\" in name else name
