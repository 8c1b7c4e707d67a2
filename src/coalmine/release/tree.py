"""Rules of the push check that need nothing but the pushed tree: where release files lie, and what judges them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING

from coalmine.errors import BadInput, CoalmineError, Refused
from coalmine.release.file import ReleaseFile, locate
from coalmine.release.git import Change, Entry, Repository

if TYPE_CHECKING:
    from coalmine.judge.policy import Policy

POLICY_LIMIT = 256 * 1024  # bytes of one file under flagger/; they are read whole
_PLAIN = frozenset({"100644", "100755"})
_MODES = {"100755": "an executable", "120000": "a symbolic link", "160000": "a submodule"}
# A link, a file or a submodule in place of one of these folders would take the release or policy files away unseen.
_FOLDER = re.compile(
    r"(gitops|gitops/apps|gitops/apps/[^/]+|gitops/apps/[^/]+/release(/[^/]+)?|flagger|flagger/[^/]+)\Z"
)
_RELEASES = re.compile(r"gitops/apps/[^/]+/release/")
_FLAGGER = re.compile(r"flagger/(?P<model>[^/]+)/")
_CANARY = re.compile(r"flagger/(?P<model>[^/]+)/canary\.yaml")
_APP = re.compile(r"gitops/apps/(?P<model>[^/]+)/release/")


def shape(changes: Iterable[Change]) -> Iterator[Refused]:
    """What may lie where: in release folders plain release files alone, folders as folders, policy as plain files."""
    for change in changes:
        if change.deleted:
            continue
        kind = _MODES.get(change.mode, "a file")
        if _FOLDER.match(change.path):
            yield Refused(f"is {kind}, must be a folder", where=change.path, remedy="restore the folder")
        elif _RELEASES.match(change.path):
            if locate(change.path) is None:
                what = "lies in a release folder, which holds <env>/kustomization.yaml and nothing else"
                yield Refused(what, where=change.path, remedy="move it to base/ or overlays/<env>/")
            elif change.mode != "100644":
                what = f"is {kind} (mode {change.mode}), must be a plain file (100644)"
                yield Refused(what, where=change.path, remedy="let `coalmine release` write it")
        elif _FLAGGER.match(change.path) and change.mode in {"120000", "160000"}:
            yield Refused(f"is {kind}, must be a plain file", where=change.path, remedy="commit the file itself")


def place(repository: Repository, revision: str, at: str, *, env: str, known: set[str]) -> Iterator[Refused]:
    """A release file belongs to a model and an environment that exist."""
    model, wanted = locate(at) or ("", "")
    if model not in known and not repository.entries(revision, f"bentos/{model}/"):
        names = sorted({entry.path.split("/")[1] for entry in repository.entries(revision, "bentos/")} | known)
        yield Refused(f"there is no model {model}", where=at, remedy=f"models that are: {', '.join(names) or 'none'}")
    if wanted != env and not repository.entries(revision, f"gitops/apps/{model}/overlays/{wanted}/"):
        what = f"there is no environment {wanted}: this machine runs {env}, and overlays/{wanted}/ does not exist"
        yield Refused(what, where=at, remedy=f"release to {env}, or add gitops/apps/{model}/overlays/{wanted}/")


def drill(repository: Repository, revision: str, file: ReleaseFile, *, at: str) -> Iterator[CoalmineError]:
    """Faults are let through only where they are known by name and the pushed policy allows drills."""
    from coalmine.release.faults import parse  # noqa: PLC0415 - only a drill needs it

    try:
        parse(file.faults)
        _, policy = pushed_policy(repository, revision, file.model)
    except BadInput as error:
        yield Refused(error.what, where=error.where if "/" in error.where else at, remedy=error.remedy)
        return
    if not policy.drills:
        what = f"carries faults ({file.faults}), and the policy of {file.model} does not allow drills"
        yield Refused(
            what, where=at, remedy=f"set `drills: true` in flagger/{file.model}/policy.yaml, or leave them out"
        )


def policies(
    repository: Repository,
    revision: str,
    changes: Iterable[Change],
    *,
    env: str,
    needed: tuple[str, ...],
    first: bool,
) -> Iterator[CoalmineError]:
    """The Canary in every overlay, the `needed` ones included, and the policy of each model that the push touches.

    A policy that the push does not change was checked when it came (`first`: nothing came before), and is not loaded
    again: the engine behind it takes longer to import than all the rest of a check.
    """
    released: set[str] = set()
    judged: set[str] = set()
    for change in changes:
        if match := _FLAGGER.match(change.path):
            judged.add(match["model"])
        elif match := _APP.match(change.path):
            released.add(match["model"])
    canaries = _with_canary(repository, revision)
    if judged - canaries:  # what others may extend was changed or taken away
        judged |= canaries
        judged = {model for model in judged if model in released or not _is_shared(repository, revision, model)}
    for model in sorted(released | judged):
        yield from _judged(repository, revision, model, env=env, needed=needed, whole=first or model in judged)


def _is_shared(repository: Repository, revision: str, folder: str) -> bool:
    """Whether a folder in flagger/ holds a policy for others to extend: it has no Canary, and nothing is released."""
    listed = {entry.path for entry in repository.entries(revision, f"flagger/{folder}/")}
    alone = f"flagger/{folder}/policy.yaml" in listed and f"flagger/{folder}/canary.yaml" not in listed
    return alone and not repository.entries(revision, f"gitops/apps/{folder}/release/")


def _with_canary(repository: Repository, revision: str) -> set[str]:
    listed = (_CANARY.fullmatch(entry.path) for entry in repository.entries(revision, "flagger/"))
    return {match["model"] for match in listed if match}


def _judged(
    repository: Repository, revision: str, model: str, *, env: str, needed: tuple[str, ...], whole: bool
) -> Iterator[CoalmineError]:
    from coalmine.rollout.canary import load_canary  # noqa: PLC0415 - a push of other files need not wait for pydantic

    released = repository.entries(revision, f"gitops/apps/{model}/release/{env}/kustomization.yaml")
    listed = repository.entries(revision, f"flagger/{model}/")
    if not listed and not released:
        return  # neither judged nor released: a model being written, or one taken out whole
    bad = list(_oversized(listed))
    if bad:
        yield from bad
        return
    files = _files(repository, revision, model)
    overlays = {path.split("/")[2] for path in files if path.count("/") > 2 and path.endswith("/kustomization.yaml")}
    for overlay in ["", *sorted(overlays | set(needed))]:
        try:
            load_canary(files, model, overlay=overlay)
        except BadInput as error:
            yield error
            break  # the overlays of a broken base would only repeat it
    try:
        if whole or f"flagger/{model}/policy.yaml" not in files:
            pushed_policy(repository, revision, model)
    except BadInput as error:
        yield error


def _oversized(entries: Iterable[Entry]) -> Iterator[Refused]:
    for entry in entries:
        if entry.size > POLICY_LIMIT:
            what = f"has {entry.size} bytes, more than {POLICY_LIMIT}"
            yield Refused(what, where=entry.path, remedy="policy is small; keep data elsewhere")


def _files(repository: Repository, revision: str, model: str) -> dict[str, str]:
    listed = repository.entries(revision, f"flagger/{model}/")
    plain = [entry for entry in listed if entry.mode in _PLAIN and entry.size <= POLICY_LIMIT]
    return {entry.path: repository.blob(entry.sha) for entry in plain if entry.path.endswith((".yaml", ".yml"))}


def pushed_policy(repository: Repository, revision: str, model: str) -> tuple[str, Policy]:
    """A model's policy as it stands in a commit, with what it extends, and its whole text. Raises BadInput."""
    from coalmine.judge.policy import read_policy  # noqa: PLC0415 - a push of other files need not wait for pydantic

    def read(path: PurePath) -> str:
        found = [e for e in repository.entries(revision, str(path)) if e.path == str(path) and e.mode in _PLAIN]
        if not found:
            raise BadInput("is missing", where=str(path), remedy="add the file; an empty one takes every default")
        for refused in _oversized(found):
            raise BadInput(refused.what, where=refused.where, remedy=refused.remedy)
        return repository.blob(found[0].sha)

    return read_policy(PurePosixPath(f"flagger/{model}/policy.yaml"), read=read)
