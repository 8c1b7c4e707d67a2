"""What a Bento carries so that its image can be built from the Bento alone, and no index is asked what is new:

<bento>/src/runtime/coalmine-<version>-py3-none-any.whl   the wheel of the tree at the release's commit
<bento>/src/runtime/requirements.txt                      every other package with its hashes: the model's own
                                                          bentos/<model>/requirements.txt, else locks/serving.txt

A project that only uses Coalmine has no tree of it: its Bentos carry no wheel, and `coalmine image build` asks for one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from coalmine.errors import Broken, Missing
from coalmine.release.git import Repository

REQUIREMENTS = "requirements.txt"
_SECONDS = 120


def carry(project: Path, sha: str, *, into: Path, locks: Sequence[str]) -> dict[str, str]:
    """Fill the folder `into` from the tree at commit `sha`; the first of `locks` that is there gives the requirements.

    Returns:
        `wheel` and `requirements`: the sha256 of each that is there, empty for one that is not.

    Raises:
        Missing: the build backend is not installed. Broken: it failed; its words are in the message.
    """
    into.mkdir()
    source = Repository(project)
    for at in locks:
        text = _text(source, sha, at)
        if text is not None:
            (into / REQUIREMENTS).write_text(text, encoding="utf-8")
            break
    wheel = _wheel(project, sha, into=into) if _is_coalmine(_text(source, sha, "pyproject.toml")) else None
    found = {"wheel": wheel, "requirements": into / REQUIREMENTS}
    return {name: digest(path) if path and path.is_file() else "" for name, path in found.items()}


def locks_of(model: str) -> tuple[str, str]:
    """Where a model's packages are locked: by itself, or as for all."""
    return f"bentos/{model}/{REQUIREMENTS}", "locks/serving.txt"


def digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _text(source: Repository, sha: str, at: str) -> str | None:
    """A file of the project as committed: the project may be a folder of its repository."""
    done = source.attempt("cat-file", "blob", f"{sha}:./{at}")
    return done.out if done.code == 0 else None


def _is_coalmine(pyproject: str | None) -> bool:
    try:
        project = tomllib.loads(pyproject or "").get("project", {})
        return isinstance(project, dict) and project.get("name") == "coalmine"
    except tomllib.TOMLDecodeError:
        return False


def _wheel(project: Path, sha: str, *, into: Path) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        raise Missing("hatchling is not installed: a Bento carries the wheel", remedy="pip install 'coalmine[local]'")
    archive = ["git", "-C", str(project), "archive", "--format=tar", f"{sha}:./"]
    packed = subprocess.run(archive, capture_output=True, timeout=_SECONDS, check=True)
    with tempfile.TemporaryDirectory(prefix="coalmine-wheel-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
            tar.extractall(folder, filter="data")
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)]
        # hatchling writes the same bytes for the same tree as long as no date comes from outside.
        environ = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    made = sorted(into.glob("coalmine-*.whl"))
    if done.returncode or len(made) != 1:
        raise Broken(f"the wheel could not be built: {done.stderr.strip()[-600:]}", where=str(project))
    return made[0]
