"""The files of a new model, and writing them: all of them or, where one of them is somebody's already, none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import Refused
from coalmine.files import write_whole
from coalmine.new.names import check, class_name
from coalmine.steps.workload import Task

TEMPLATES = Path(__file__).parent / "templates"
COMMON = "common"
_NAME, _CLASS = "modelname", "ModelName"
_CLUSTERS = "gitops/clusters"


@dataclass(frozen=True, slots=True)
class Made:
    """What was written, what was there already as it would be written, and what to do now."""

    model: str
    task: Task
    written: tuple[str, ...]
    there: tuple[str, ...]
    next: tuple[str, ...]


def new(project: Path, name: str, *, task: Task) -> Made:
    """Write the model's files into the project. Run again after a crash it writes what is missing.

    Raises:
        BadInput: the name can be no model's.
        Refused: a file is there with another content; nothing was written.
    """
    planned = files(check(name), task, clusters=clusters(project))
    there = tuple(at for at in planned if (project / at).exists())
    changed = [at for at in there if not _same(project / at, planned[at])]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise Refused(
            f"{changed[0]}{more} of the model {name!r} is there with another content; nothing was written",
            where=str(project),
            remedy=f"choose another name, or `git rm -r bentos/{name}` and what belongs to it first",
        )
    written = tuple(at for at in planned if at not in there)
    for at in written:
        write_whole(project / at, planned[at])
    return Made(name, task, written, there, steps(name, planned))


def files(name: str, task: Task, *, clusters: frozenset[str]) -> dict[str, str]:
    """Path in the project -> text, sorted. Of clusters only the files of those that the project has."""
    found = {}
    for folder in (TEMPLATES / COMMON, TEMPLATES / task):
        for path in folder.rglob("*"):
            at = path.relative_to(folder).as_posix()
            if path.is_file() and path.suffix != ".pyc" and _wanted(at, clusters):
                text = path.read_text(encoding="utf-8").replace(_CLASS, class_name(name)).replace(_NAME, name)
                found[at.replace(_NAME, name)] = text
    return dict(sorted(found.items()))


def _wanted(at: str, clusters: frozenset[str]) -> bool:
    """A project without clusters is one machine's: it needs no manifests."""
    if not at.startswith("gitops/"):
        return True
    cluster = _cluster(at)
    return bool(clusters) and (not cluster or cluster in clusters)


def _cluster(at: str) -> str:
    """The cluster that a file is for; empty for all of them."""
    parts = at.split("/")
    if at.startswith(f"{_CLUSTERS}/"):
        return parts[2]
    return parts[4] if parts[3:4] == ["overlays"] else ""


def clusters(project: Path) -> frozenset[str]:
    """Those that the project has."""
    found = (project / _CLUSTERS).glob("*/kustomization.yaml")
    return frozenset(path.parent.name for path in found)


def _same(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def steps(name: str, planned: Mapping[str, str]) -> tuple[str, ...]:
    """What to do now, in order."""
    folder, test = f"bentos/{name}", next(at for at in planned if at.startswith("tests/"))
    environment = f"export COALMINE_MODEL={name} COALMINE_STATE=.coalmine/{name}"
    found = [
        f"try it as it is: {environment}; python -m pytest {test}",
        f"put your data into {folder}/data.py (`records`) and its fields into {folder}/fields.yaml",
        "see what a model of it reaches: coalmine collect --no-votes; coalmine train; coalmine evaluate",
        f"write bounds a little below that into {folder}/gates.yaml",
        f"say when it is trained anew by itself: {folder}/retraining.yaml",
        f"say how its releases are judged: flagger/{name}/policy.yaml",
        f"keep it: git add . && git commit -m 'add the model {name}'",
        "release it on this machine: coalmine up -d; coalmine retrain --no-votes --release",
    ]
    if hosts := _hosts(planned):
        found.append(f"in a cluster: add {' and '.join(sorted(hosts))} to the door's certificate (`dnsNames`)")
    return tuple(found)


def _hosts(planned: Mapping[str, str]) -> set[str]:
    marked = "spec: {hostnames: ["
    lines = [line for text in planned.values() for line in text.splitlines() if line.startswith(marked)]
    return {line.removeprefix(marked).partition("]")[0] for line in lines}
