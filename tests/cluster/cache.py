"""What the bench makes once and keeps: engines, images, certificates of no worth. Addressed by what made it.

The folder is `$COALMINE_CACHE`, else `~/.cache/coalmine/bench`. It may be deleted whole at any time while nothing runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def folder() -> Path:
    """The cache folder, made if it is not there."""
    named = os.environ.get("COALMINE_CACHE", "")
    path = Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "coalmine" / "bench"
    path.mkdir(parents=True, exist_ok=True)
    return path


def place(name: str, recipe: str) -> Path:
    """Where `kept` puts the thing that `recipe` makes; it need not be there yet."""
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    return folder() / "kept" / f"{name}-{digest}"


def kept(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    """The file or folder that `make` makes, made at most once for each `recipe` (text that names all it is of).

    `make` gets a path that does not exist yet and creates a file or a folder there. A thing appears under its final
    name only when it is whole: a maker that fails or is killed leaves nothing that looks finished, and the next one
    starts with a clean path. Of two makers at once, in one process or in two, one makes and the other waits.
    Raises what `make` raises.
    """
    final = place(name, recipe)
    if final.exists():
        return final
    with locked(final.name):
        if final.exists():
            return final
        partial = final.with_name(f".{final.name}.partial")
        remove(partial)
        final.parent.mkdir(parents=True, exist_ok=True)
        make(partial)
        partial.rename(final)
    return final


@contextmanager
def locked(name: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock `name` against every other process and thread; the kernel frees it when the holder dies.

    `shared`: with others that share it, against those that do not.
    """
    path = folder() / "locks" / name
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
