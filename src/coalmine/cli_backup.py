"""Copies of the state folder: `coalmine backup`, `coalmine restore`, `coalmine verify-backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coalmine import output

Kept = Annotated[Path, typer.Argument(help="the backup folder: snapshots, and each content once")]
Moment = Annotated[str, typer.Option("--snapshot", help="which one; default: the newest")]
Given = Annotated[Path, typer.Argument(help="the state folder, on one machine `.coalmine` in the project")]


def backup(
    state: Given,
    to: Kept,
    keep: Annotated[int, typer.Option(min=0, help="how many of the newest snapshots stay; 0: all")] = 0,
) -> None:
    """Copy the state folder: registry, lake, judge, votes, releases. What runs goes on running."""
    from coalmine.local import backup as backups

    made = backups.backup(state, to, keep=keep)
    summary = {"snapshot": made.taken, "files": len(made.entries), "bytes": made.size, "digest": made.digest}
    output.show(
        summary, lines=[f"{made.taken}: {len(made.entries)} files, {made.size:,} bytes, digest {made.digest[:12]}"]
    )


def verify_backup(folder: Kept, snapshot: Moment = "") -> None:
    """Read every content of a snapshot and hold it to its digest; exit 70 where one is missing or damaged."""
    from coalmine.errors import Broken
    from coalmine.local import backup as backups

    found = backups.load(folder, snapshot)
    bad = backups.damaged(folder, found)
    if bad:
        raise Broken(f"missing or damaged: {', '.join(bad)}", where=str(folder), remedy="take an older --snapshot")
    summary = {"snapshot": found.taken, "files": len(found.entries), "digest": found.digest}
    output.show(summary, lines=[f"{found.taken}: {len(found.entries)} files, each as its digest says"])


def restore(folder: Kept, state: Given, snapshot: Moment = "") -> None:
    """Put a snapshot in place as the state folder, which must be empty or not there. Then: `coalmine up`."""
    from coalmine.local import backup as backups

    made = backups.restore(folder, state, taken=snapshot)
    summary = {"snapshot": made.taken, "files": len(made.entries), "digest": made.digest}
    output.show(summary, lines=[f"{state} is as of {made.taken}: {len(made.entries)} files, digest {made.digest[:12]}"])
