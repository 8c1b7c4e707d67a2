"""A copy of the state folder that can be trusted: databases through SQLite's own backup, files by their digest.

A backup folder holds `objects/<ab>/<sha256>`, each content once, and `snapshots/<time>.json`, each a list of paths with
digests. A snapshot is written last and in one step: it is whole or it is not there. What a broken run has copied is
used by the next one. Restoring checks each digest, and puts the folder in place by one rename; into a folder that is
there, such as a volume's root, part by part.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from coalmine.errors import BadInput, Broken, Refused, Temporary
from coalmine.files import write_whole

# What is made anew, or is of one moment: processes, rendered configuration, logs, the demo's own clone and state.
LEFT_OUT = frozenset({"run", "logs", "edge", "demo"})
# What refers to other files is copied before them, so that all it names is there when its turn comes.
_FIRST = ("_delta_log", "HEAD", "packed-refs", "refs")
_SQLITE = b"SQLite format 3\x00"
_TRIES = 3
_OF_A_VOLUME = "lost+found"  # the file system's own, in the root of a volume


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, or a link with its `target`."""

    path: str
    digest: str
    size: int
    mode: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a backup holds of one moment."""

    taken: str
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    @property
    def digest(self) -> str:
        """Of everything: two snapshots with the same one hold the same files."""
        lines = (f"{entry.path} {entry.digest} {entry.target}" for entry in self.entries)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def backup(state: Path, to: Path, *, keep: int = 0) -> Snapshot:
    """Copy `state` into the backup folder `to`, which may hold earlier snapshots; it may be running meanwhile.

    `keep`: how many of the newest snapshots stay, with this one; 0: all. Raises BadInput where there is nothing to
    copy, or `to` lies in it; Temporary where files keep vanishing, or another run writes to the same folder.
    """
    if not state.is_dir():
        raise BadInput(
            "there is no state folder", where=str(state), remedy="name the folder that `coalmine status` works on"
        )
    if to.resolve().is_relative_to(state.resolve()):
        raise BadInput("a copy inside what is copied", where=str(to), remedy="name a folder elsewhere")
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _alone(to):
        entries = _all_copied(state, to)
        made = Snapshot(datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ"), entries)
        write_whole(to / "snapshots" / f"{made.taken}.json", json.dumps(asdict(made), indent=1))
        if keep:
            _thin(to, keep)
    return made


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One run at a time: what one thins out, another may be about to name."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Temporary("another run writes there", where=str(folder), remedy="wait until it has ended") from error
        yield


def _all_copied(state: Path, to: Path) -> tuple[Entry, ...]:
    for left in reversed(range(_TRIES)):
        try:
            return tuple(sorted((_copied(state, path, to) for path in _files(state)), key=lambda entry: entry.path))
        except FileNotFoundError as error:  # something was tidied away while we looked, such as a packed ref
            if not left:
                raise Temporary(f"{error.filename} vanished", where=str(state), remedy="try again") from error
    raise AssertionError("unreachable")  # pragma: no cover - the loop ends by returning or by raising


def _thin(folder: Path, keep: int) -> None:
    """Older lists go first, then what none of the others names: broken off, it leaves too much, never too little."""
    for taken in snapshots(folder)[:-keep]:
        (folder / "snapshots" / f"{taken}.json").unlink()
    named = {entry.digest for taken in snapshots(folder) for entry in load(folder, taken).entries}
    for kept in (folder / "objects").glob("[0-9a-f][0-9a-f]/*"):
        if kept.name not in named:
            kept.unlink()


def snapshots(folder: Path) -> list[str]:
    """The moments that a backup folder holds, oldest first."""
    return sorted(path.stem for path in (folder / "snapshots").glob("[0-9]*.json"))


def load(folder: Path, taken: str = "") -> Snapshot:
    """One snapshot, by default the newest. Raises BadInput where there is none, Broken where it cannot be read."""
    known = snapshots(folder)
    if not known or (taken and taken not in known):
        raise BadInput(
            f"no snapshot {taken or 'at all'}", where=str(folder), remedy=f"there are: {', '.join(known) or 'none'}"
        )
    path = folder / "snapshots" / f"{taken or known[-1]}.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return Snapshot(read["taken"], tuple(Entry(**entry) for entry in read["entries"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Broken(f"the snapshot is damaged: {error}", where=str(path), remedy="take an older one") from error


def damaged(folder: Path, snapshot: Snapshot) -> list[str]:
    """The paths whose content is missing or is not what its digest says."""
    return [entry.path for entry in snapshot.entries if not entry.target and not _sound(folder, entry)]


def mismatches(state: Path, snapshot: Snapshot) -> list[str]:
    """The paths of a snapshot that are not, byte for byte, in `state`."""
    plain = [entry for entry in snapshot.entries if not entry.target]
    return [one.path for one in plain if not (state / one.path).is_file() or _digest(state / one.path) != one.digest]


def restore(folder: Path, to: Path, *, taken: str = "") -> Snapshot:
    """Put a snapshot in place as the state folder `to`, which must be empty or not there.

    Raises Refused where it is neither, Broken where content is missing or damaged; then nothing has been put in place.
    """
    snapshot = load(folder, taken)
    there = to.exists()  # a volume's root: nothing can be renamed over it
    if there and any(one.name != _OF_A_VOLUME for one in to.iterdir()):
        raise Refused("there is a state folder already", where=str(to), remedy="move it away, or name another one")
    to.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{to.name}-restoring-", dir=to if there else to.parent))
    try:
        for entry in snapshot.entries:
            _put(folder, entry, scratch)
        _hold(scratch, snapshot)
        if there:
            for part in scratch.iterdir():
                part.rename(to / part.name)
            scratch.rmdir()
        else:
            scratch.rename(to)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return snapshot


def _hold(state: Path, snapshot: Snapshot) -> None:
    """What was written is read again: a disk may be full of mistakes of its own."""
    if wrong := mismatches(state, snapshot):
        raise Broken(f"not written as it was read: {wrong[0]}", where=str(state), remedy="look at the disk")


def _files(state: Path) -> list[Path]:
    """Databases first, then what refers to others, then the rest."""
    found = [Path(base) / name for base, names in _walk(state) for name in names]

    def order(path: Path) -> tuple[int, str]:
        parts = path.relative_to(state).parts
        return (0 if _is_database(path) else 1 if set(parts) & set(_FIRST) else 2, str(path))

    return sorted(found, key=order)


def _walk(state: Path) -> Iterator[tuple[str, list[str]]]:
    for base, folders, names in os.walk(state):
        if Path(base) == state:
            folders[:] = [name for name in folders if name not in LEFT_OUT]
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        plain = [name for name in names if (Path(base) / name).is_symlink() or (Path(base) / name).is_file()]
        # A database's log and index belong to the database: SQLite's own copy has them in it.
        yield base, [*links, *(name for name in plain if not name.endswith(("-wal", "-shm", "-journal")))]


def _is_database(path: Path) -> bool:
    if path.is_symlink() or path.suffix not in {".db", ".sqlite", ".sqlite3"}:
        return False
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _copied(state: Path, path: Path, to: Path) -> Entry:
    name, mode = path.relative_to(state).as_posix(), path.lstat().st_mode & 0o7777
    if path.is_symlink():
        return Entry(name, "", 0, mode, target=str(path.readlink()))
    (to / "objects").mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=to / "objects", prefix=".partial-", delete=False) as scratch:
        place = Path(scratch.name)
    try:
        if _is_database(path):
            _copy_database(path, place)
        else:
            shutil.copyfile(path, place)
        digest, size = _digest(place), place.stat().st_size
        kept = _object(to, digest)
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            place.replace(kept)
    finally:
        place.unlink(missing_ok=True)
    return Entry(name, digest, size, mode)


def _copy_database(path: Path, to: Path) -> None:
    """A consistent copy, whoever writes meanwhile, in a form that needs no log beside it."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source, closing(sqlite3.connect(to)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise Temporary(f"the database is not to be had: {error}", where=str(path), remedy="try again") from error


def _put(folder: Path, entry: Entry, root: Path) -> None:
    place = root / entry.path
    if not place.resolve().parent.is_relative_to(root.resolve()):
        raise Broken(f"{entry.path} leads out of the folder", where=str(folder))
    place.parent.mkdir(parents=True, exist_ok=True)
    if entry.target:
        place.symlink_to(entry.target)
        return
    if not _sound(folder, entry):
        remedy = "take an older snapshot with --snapshot, or another copy"
        raise Broken(f"the content of {entry.path} is missing or damaged", where=str(folder), remedy=remedy)
    shutil.copyfile(_object(folder, entry.digest), place)
    place.chmod(entry.mode)


def _sound(folder: Path, entry: Entry) -> bool:
    kept = _object(folder, entry.digest)
    return kept.is_file() and _digest(kept) == entry.digest


def _object(folder: Path, digest: str) -> Path:
    return folder / "objects" / digest[:2] / digest


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
