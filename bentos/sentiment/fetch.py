"""Fetches the rated sentences at run time: the sdist of a package, through pip, checked by sha256 and cached.

The texts are third parties' (MIT for the package; its README asks to cite Hutto & Gilbert, ICWSM 2014): they are never
committed. Which index pip asks is the user's own configuration; no host is named here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from coalmine.errors import BadInput, Missing, Temporary

REQUIREMENT = "vaderSentiment==3.3.2"
ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
ARCHIVE_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
INNER_SHA256 = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
_FOLDER = "hutto_ICWSM_2014"
_SECONDS = 300  # for the whole download, the metadata step of the package's build included


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """COALMINE_CACHE, or `~/.cache/coalmine`."""
    named = (os.environ if environ is None else environ).get("COALMINE_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "coalmine"


def archive(cache: Path | None = None) -> Path:
    """The checked sdist in `cache`, downloaded where there is none or a damaged one.

    Raises:
        Missing: no pip can be started.
        Temporary: pip failed, for example without a network.
        BadInput: the cache cannot be written, or what came is another file than the one that was measured.
    """
    folder = cache_folder() if cache is None else cache
    path = folder / ARCHIVE
    if path.is_file() and _sha256(path.read_bytes()) == ARCHIVE_SHA256:
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # In the same folder, so that the rename below is atomic: two processes may fetch at once.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            came = _download(Path(scratch))
            _check(came.read_bytes(), ARCHIVE_SHA256, str(came.name))
            came.replace(path)
    except OSError as error:
        raise BadInput(
            f"the cache cannot be written: {error.strerror}", where=str(folder), remedy="set COALMINE_CACHE to a folder"
        ) from error
    return path


def members(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """The named files of the inner archive in the sdist at `path`. Raises BadInput where it is not the one measured."""
    try:
        with tarfile.open(path, "r:gz") as outer:
            inner = _read(outer, INNER)
        _check(inner, INNER_SHA256, INNER)
        with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as tar:
            return {name: _read(tar, f"{_FOLDER}/{name}") for name in names}
    except (tarfile.TarError, OSError) as error:
        raise BadInput(
            f"no readable archive: {error}", where=str(path), remedy="delete it: it is fetched again"
        ) from error


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    try:
        handle = tar.extractfile(name)
    except KeyError:
        handle = None
    if handle is None:
        raise BadInput(f"it holds no file {name}", where=str(tar.name), remedy="delete it: it is fetched again")
    with handle:
        return handle.read()


def _download(folder: Path) -> Path:
    # Only this package from source: its wheel lacks the data, while the build tools may well come as wheels.
    arguments = ["download", "--no-deps", "--no-binary", "vaderSentiment", "--dest", str(folder), REQUIREMENT]
    try:
        done = subprocess.run(
            [*_pip(), *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired as error:
        raise Temporary(
            f"pip was not done after {_SECONDS} s", where=REQUIREMENT, remedy="try again, with a better network"
        ) from error
    came = folder / ARCHIVE
    if done.returncode != 0 or not came.is_file():
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.lower().startswith("error")] or said or ["it said nothing"]
        raise Temporary(
            f"pip could not download it: {errors[-1]}",
            where=REQUIREMENT,
            remedy=f"check the network and pip's index, or put {ARCHIVE} into {cache_folder()}",
        )
    return came


def _pip() -> list[str]:
    """The first pip that starts: a virtual environment made by uv has none of its own."""
    for command in _pips():
        try:
            answer = subprocess.run([*command, "--version"], capture_output=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if answer.returncode == 0:
            return command
    raise Missing(
        f"{REQUIREMENT} is fetched with pip, and no pip was found",
        remedy="install pip (on Debian: apt install python3-pip) or uv",
    )


def _pips() -> Iterator[list[str]]:
    if importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip"]
    # pip runs from inside its own wheel, which CPython carries for ensurepip; distributions keep it elsewhere.
    ensurepip = importlib.util.find_spec("ensurepip")
    folders = [Path(ensurepip.origin).parent / "_bundled"] if ensurepip and ensurepip.origin else []
    if configured := sysconfig.get_config_var("WHEEL_PKG_DIR"):
        folders.append(Path(str(configured)))
    for folder in folders:
        yield from ([sys.executable, f"{wheel}/pip"] for wheel in sorted(folder.glob("pip-*.whl")))
    yield from ([found] for name in ("pip3", "pip") if (found := shutil.which(name)))
    if uv := shutil.which("uv"):
        yield [uv, "tool", "run", "pip"]


def _check(content: bytes, expected: str, name: str) -> None:
    found = _sha256(content)
    if found != expected:
        raise BadInput(
            f"its sha256 is {found}, not {expected}",
            where=name,
            remedy="the index (or a mirror) served another file than the one measured: ask it for the original",
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
