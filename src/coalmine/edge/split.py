"""Which arm a request goes to, as files: nginx reads them, one rename changes all of it at once.

    <folder>/current -> splits/epoch=17,primary_slot=blue,primary=m1-abc1234,canary=m2-def5678,weight=25/
                                00 01 ... 24        one empty file for each bucket that goes to the canary

nginx resolves the link once for each request, so a request sees one split whole: the old or the new. Buckets are
filled from 00 upward, so a user who is on the canary stays there as the weight grows.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from uuid import uuid4

from coalmine.errors import BadInput, Broken
from coalmine.records import ReleaseId, Slot, Split

KEEP_SECONDS = 300.0
_CURRENT = "current"
_SPLITS = "splits"
_NEW = ".new-"
_NAME = re.compile(
    r"epoch=(?P<epoch>[0-9]+),primary_slot=(?P<slot>blue|green),primary=(?P<primary>[^,/]*),"
    r"canary=(?P<canary>[^,/]*),weight=(?P<weight>[0-9]{1,3})\Z"
)


def bucket_files(weight: int) -> tuple[str, ...]:
    """The buckets that `weight` percent of the traffic falls into: 00 .. weight-1."""
    return tuple(f"{number:02d}" for number in range(weight))


def folder_name(split: Split) -> str:
    """The split as a folder's name; nginx's maps read it by the same pattern."""
    return (
        f"epoch={split.epoch},primary_slot={split.primary_slot},primary={split.primary or ''},"
        f"canary={split.canary or ''},weight={split.weight}"
    )


def write_split(folder: Path, split: Split, *, keep_seconds: float = KEEP_SECONDS) -> None:
    """Put `split` in force by one rename, on disk before it returns. The same split again changes nothing.

    Splits that are out of force for more than `keep_seconds` are removed: a request that resolved the link just
    before a change still finds its folder.

    Raises:
        BadInput: a weight outside 0..100, or a weight without a canary or without a primary.
        Broken: a prepared folder was changed by hand.
    """
    _check(split)
    name = folder_name(split)
    splits = folder / _SPLITS
    splits.mkdir(parents=True, exist_ok=True)
    _prepare(splits / name, split)
    previous = _target(folder)
    if previous is None or previous.name != name:
        _swap(folder, name)
        if previous is not None and previous.is_dir():
            os.utime(previous)  # its age counts from the moment it went out of force
    for left in folder.glob(f"{_NEW}*"):  # of a writer that was killed
        left.unlink()
    _prune(splits, name, before=time.time() - keep_seconds)


def current_split(folder: Path) -> Split | None:
    """The split in force, or None before the first. Raises Broken if the link names no split."""
    target = _target(folder)
    if target is None:
        return None
    match = _NAME.match(target.name)
    if match is None:
        raise Broken(
            f"the link names {target.name!r}, which is no split",
            where=str(folder / _CURRENT),
            remedy="remove the link; `coalmine up` writes it again",
        )
    return Split(
        epoch=int(match["epoch"]),
        primary_slot=Slot(match["slot"]),
        primary=ReleaseId.parse(match["primary"]) if match["primary"] else None,
        canary=ReleaseId.parse(match["canary"]) if match["canary"] else None,
        weight=int(match["weight"]),
    )


def _check(split: Split) -> None:
    if not 0 <= split.weight <= 100:
        raise BadInput(f"a weight of {split.weight} %", where="split.weight", remedy="a whole percent from 0 to 100")
    if split.weight and (split.canary is None or split.primary is None):
        raise BadInput(
            f"{split.weight} % of the traffic for a canary, but {'no primary' if split.canary else 'no canary'}",
            where="split.weight",
            remedy="a first release becomes primary without a canary",
        )


def _target(folder: Path) -> Path | None:
    try:
        return folder / (folder / _CURRENT).readlink()
    except FileNotFoundError:
        return None


def _prepare(final: Path, split: Split) -> None:
    """Make the folder whole under another name first: under its own it never exists half-filled."""
    wanted = set(bucket_files(split.weight))
    if final.is_dir():
        found = {entry.name for entry in final.iterdir()}
        if found != wanted:
            raise Broken(
                f"{len(found)} bucket files instead of {len(wanted)}",
                where=str(final),
                remedy="was it changed by hand? Remove the folder; it is written again",
            )
        return
    new = final.parent / f"{_NEW}{uuid4().hex}"
    new.mkdir()
    for bucket in wanted:
        (new / bucket).touch()
    _sync(new)
    new.rename(final)
    _sync(final.parent)


def _swap(folder: Path, name: str) -> None:
    new = folder / f"{_NEW}{uuid4().hex}"
    new.symlink_to(Path(_SPLITS) / name)
    new.replace(folder / _CURRENT)
    _sync(folder)


def _sync(folder: Path) -> None:
    """After a power cut the link must not name a folder that never reached the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prune(splits: Path, keep: str, *, before: float) -> None:
    for entry in splits.iterdir():
        if entry.name != keep and entry.stat().st_mtime < before:
            shutil.rmtree(entry)
