"""What a repository's kustomizations render to at a commit: every one that no other includes, by plain kustomize."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from coalmine.errors import BadInput, Missing
from coalmine.release.git import Repository

_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_INCLUDES = ("resources", "components", "bases", "crds")
_TIMEOUT = 120.0  # seconds; a build takes a tenth of one


@dataclass(frozen=True, slots=True)
class Rendered:
    """One kustomization's objects as text, or what kustomize said instead."""

    texts: tuple[str, ...] = ()
    error: str = ""


def program(name: str = "kustomize") -> str:
    """The kustomize to run. Raises Missing."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not installed", remedy="https://kubectl.docs.kubernetes.io/installation/kustomize/")
    return found


def at(repository: Repository, revision: str, *, kustomize: str) -> dict[str, Rendered]:
    """All roots under `gitops/` by their folder. Raises BadInput where there is no such commit."""
    sha = repository.commit(revision)
    if sha is None:
        remedy = "fetch it: `fetch-depth: 0` in the workflow"
        raise BadInput(f"no commit {revision}", where=str(repository.path), remedy=remedy)
    with tempfile.TemporaryDirectory(prefix="coalmine-rendered-") as folder:
        top = Path(folder).resolve()
        _unpack(repository, sha, into=top)
        return render(top, kustomize=kustomize)


def render(top: Path, *, kustomize: str) -> dict[str, Rendered]:
    """The roots of a checked-out tree by their folder, relative to it."""
    top = top.resolve()
    roots = sorted(_roots(top))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        built = pool.map(lambda root: _build(root, top, kustomize=kustomize), roots)
        return {str(root.relative_to(top)): one for root, one in zip(roots, built, strict=True)}


def _unpack(repository: Repository, sha: str, *, into: Path) -> None:
    done = subprocess.run(
        ["git", "-C", str(repository.path), "archive", "--format=tar", sha], capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        tar.extractall(into, filter="data")


def _roots(top: Path) -> Iterator[Path]:
    """Folders with a Kustomization that no other includes. A Component is always part of something."""
    folders = {file.parent: file for name in _FILES for file in (top / "gitops").rglob(name)}
    included: set[Path] = set()
    for folder, file in _kustomizations(top, folders).items():
        made = _mapping(file)
        parts = [part for field in _INCLUDES for part in made.get(field) or () if isinstance(part, str)]
        included |= {(folder / part).resolve() for part in parts if "://" not in part}
    for folder, file in folders.items():
        if folder not in included and _mapping(file).get("kind", "Kustomization") == "Kustomization":
            yield folder


def _kustomizations(top: Path, known: Mapping[Path, Path]) -> dict[Path, Path]:
    others = {file.parent: file for name in _FILES for file in (top / "flagger").rglob(name)}
    return {**others, **known}


def _mapping(file: Path) -> dict[str, Any]:
    try:
        made = yaml.safe_load(file.read_text(encoding="utf-8", errors="replace"))
    except yaml.YAMLError:
        return {}  # kustomize says it better, when it builds it
    return made if isinstance(made, dict) else {}


def _build(root: Path, top: Path, *, kustomize: str) -> Rendered:
    try:
        done = subprocess.run(
            [kustomize, "build", str(root)], capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return Rendered(error=f"kustomize took longer than {_TIMEOUT:.0f} s")
    if done.returncode:
        return Rendered(error=done.stderr.replace(f"{top}/", "").strip())
    return Rendered(tuple(part.strip("\n") for part in done.stdout.split("\n---\n") if part.strip()))
