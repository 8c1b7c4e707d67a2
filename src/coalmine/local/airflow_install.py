"""Airflow's packages, in an environment of their own: it pins what it shares with us to versions that we do not take.

One environment for each lock and Python, in the cache, for all state folders; ours is a link that its parts import by.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from coalmine.errors import Broken, Missing, Temporary

CACHE_ENVIRONMENT = "COALMINE_CACHE"
_SECONDS = 1800.0  # some 140 packages, over a slow line


def lock() -> Path:
    """The file of Airflow's packages with their hashes. Raises Broken where neither place has it."""
    here = Path(__file__).resolve()
    candidates = (here.parent / "airflow.txt", here.parents[3] / "locks" / "airflow.txt")
    for path in candidates:
        if path.is_file():
            return path
    raise Broken(
        f"neither {candidates[0]} nor {candidates[1]}",
        remedy="reinstall coalmine: its wheel carries Airflow's packages",
    )


def folder() -> Path:
    """Where the environment of this lock and this Python lies, or will."""
    told = lock().read_bytes() + f"{sys.base_prefix} {sys.version}".encode()
    cache = Path(os.environ.get(CACHE_ENVIRONMENT) or Path.home() / ".cache" / "coalmine")
    return cache / "airflow" / hashlib.sha256(told).hexdigest()[:12]


def installed(tell: Callable[[str], None] = lambda _: None) -> Path:
    """The environment's Python; the packages are installed first where they are not.

    Raises: Missing where no environment can be made; Temporary where the packages cannot be had.
    """
    home = folder()
    python, done = home / "bin" / "python", home / "coalmine.complete"
    home.parent.mkdir(parents=True, exist_ok=True)
    with _alone(home.parent / "lock"):
        if done.exists() and python.exists():
            return python
        done.unlink(missing_ok=True)  # a system's Python may have gone
        tell(f"installing Airflow into {home}: some 140 packages, 300 MB, once; pip's words are in {home}.log")
        make, fill = _commands(home)
        _run(make, log=home.with_suffix(".log"), failed=_no_environment)
        _run(fill, log=home.with_suffix(".log"), failed=_no_packages)
        done.touch()
    return python


def _commands(home: Path) -> tuple[Sequence[str], Sequence[str]]:
    """By the uv that `make` has installed beside us, which takes seconds; else by Python's own means."""
    uv, python = Path(sys.prefix) / "uv" / "bin" / "uv", str(home / "bin" / "python")
    if uv.exists():
        return (
            [str(uv), "venv", "--clear", "--python", sys.executable, str(home)],
            [str(uv), "pip", "sync", "--python", python, "--require-hashes", str(lock())],
        )
    return (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [python, "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "-r", str(lock())],
    )


def _run(command: Sequence[str], *, log: Path, failed: Callable[[Path], Exception]) -> None:
    """With all of our environment: an index, a proxy or a certificate may be named in it."""
    with log.open("ab") as output:
        try:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, timeout=_SECONDS
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise Temporary(f"{command[0]} took longer than {_SECONDS:.0f} s", where=str(log)) from error
    if code:
        raise failed(log)


def _no_environment(log: Path) -> Missing:
    return Missing("no environment can be made", where=str(log), remedy="on Debian: sudo apt-get install python3-venv")


def _no_packages(log: Path) -> Temporary:
    return Temporary("Airflow's packages could not be installed", where=str(log), remedy="read the end of that log")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Whoever comes second waits, and finds it done. Freed by any death."""
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def link(home: Path) -> Path:
    """A folder that holds our package and nothing else, for Airflow's import path."""
    place, ours = home / "import", Path(__file__).resolve().parents[1]
    place.mkdir(parents=True, exist_ok=True)
    scratch = place / f".{os.getpid()}"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(ours, target_is_directory=True)
    scratch.replace(place / ours.name)
    return place
