"""The `release` step: one commit that names a release, pushed to the deployment repository, here or on a forge.

The commit is made beside the checkout and moved into it only after the push was accepted. So a refusal, a lost
connection or a kill leaves the checkout as it was, and a person's index and edits are never in the way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import BadInput, Refused, Temporary
from coalmine.records import Release, ReleaseId
from coalmine.release.file import ReleaseFile, path, render
from coalmine.release.git import MAIN, Repository
from coalmine.release.image import Image
from coalmine.release.install import REMOTE
from coalmine.release.ledger import Ledger
from coalmine.settings import Settings

FORGE = "origin"  # what a clone calls the repository of a cluster

_TRIES = 5  # each is lost only to another push or a healing commit that lands within the same tenths of a second


@dataclass(frozen=True, slots=True)
class Target:
    """Where a release goes. `image`: a cluster's. `branch`: pushed there instead of to main, for a pull request."""

    remote: str = REMOTE
    branch: str = ""
    image: Image | None = None

    @property
    def ref(self) -> str:
        return f"refs/heads/{self.branch}" if self.branch else MAIN


_HERE = Target()


def release(
    settings: Settings,
    wanted: Release | ReleaseId | int | str,
    *,
    checkout: Path,
    faults: str = "",
    force: str = "",
    say: Callable[[str], None] | None = None,
    to: Target = _HERE,
) -> str:
    """Write the release file, commit only that, push it; returns the commit that names the release.

    Args:
        settings: where the ledger is, and which model and environment are meant.
        wanted: a release, its id, a model version (its newest release), or `latest` (the one built last).
        checkout: the top of the clone to commit in. The push carries its other commits too.
        faults: for drills, as in `coalmine.release.faults`.
        force: why a quarantined release is tried again; becomes a commit trailer.
        say: gets the push's own output line by line; standard error by default.
        to: the remote (`coalmine` is this machine's), the branch, and a cluster's image.

    Raises:
        BadInput: no such release, no such remote, edits to the release file itself, histories that do not merge.
        Refused: the push check said no; its words are in the message and the checkout is as before.
    """
    tell = say or (lambda line: print(line, file=sys.stderr))  # noqa: T201 - the push's output belongs on the terminal
    record = wanted if isinstance(wanted, Release) else find(Ledger(settings.database), settings.model, wanted)
    named = (to.image.repository, to.image.digest) if to.image else ("", "")
    file = ReleaseFile(settings.model, settings.env, record.id, _canonical(faults), *named)
    clone = Repository(checkout)
    at = path(file.model, file.env)
    _ready(clone, at, remote=to.remote)
    for _ in range(_TRIES):
        theirs = _fetch(clone, to.remote)
        if theirs and clone.text(theirs, at) == render(file):
            _follow(clone, theirs, tell=tell, remote=to.remote)
            return theirs
        # A pull request is of main and this one commit, whatever the checkout has besides.
        ours = theirs if to.branch and theirs else clone.commit("HEAD") or ""
        sha = _commit(
            clone, file, message(file, record, force=force), theirs=theirs, ours=ours, at=at, remote=to.remote
        )
        if _push(clone, sha, tell=tell, to=to):
            if not to.branch:
                _follow(clone, sha, tell=tell, remote=to.remote)
            return sha
    raise Temporary(f"main moved {_TRIES} times while pushing", where=to.remote, remedy="run `coalmine release` again")


def find(ledger: Ledger, model: str, wanted: ReleaseId | int | str) -> Release:
    """The release of that id, the newest of that model version, or the `latest`. Raises BadInput naming those known."""
    text, built = str(wanted), ledger.releases(model)  # the newest first
    for known in built:
        if text in {"latest", str(known.id), str(known.id.version), f"v{known.id.version}"}:
            return known
    names = ", ".join(str(known.id) for known in built[:5]) or "none"
    raise BadInput(f"no release {text} of {model}", remedy=f"those built: {names}; `coalmine package` builds one")


def message(file: ReleaseFile, record: Release, *, force: str = "") -> str:
    """The release commit's message: lineage in the body, machine-read facts as trailers."""
    trailers = {"Coalmine-Release": str(file.release), "Coalmine-Model": file.model}
    if force:
        trailers["Coalmine-Force"] = " ".join(force.split())
    override = f"offline gate overridden: {' '.join(record.override.split())}\n" if record.override else ""
    drill = f"drill: {file.faults}\n" if file.faults else ""
    image = f"image {file.image}@{file.digest}\n" if file.image else ""
    return (
        f"release {file.model} {file.release}\n\n"
        f"run {record.run_id}\ndataset {record.dataset_digest}\nsource {record.git_sha}\n"
        f"bento {record.bento_tag} {record.bento_digest}\nenvironment {record.environment}\n{image}{override}{drill}\n"
        + "".join(f"{key}: {value}\n" for key, value in trailers.items())
    )


def _canonical(faults: str) -> str:
    from coalmine.release import faults as drills  # noqa: PLC0415 - named like the argument that it reads

    return drills.render(drills.parse(faults))


def _ready(clone: Repository, at: str, *, remote: str) -> None:
    if clone.commit("HEAD") is None:
        raise BadInput("no git commit here", where=str(clone.path), remedy="run it in a clone that has commits")
    if Path(clone.run("rev-parse", "--show-toplevel").strip()).resolve() != clone.path.resolve():
        raise BadInput("is not the top of its clone", where=str(clone.path), remedy="name the clone's top folder")
    if clone.attempt("remote", "get-url", remote).code:
        local = f"run `coalmine up` once, or: git remote add {REMOTE} <state folder>/git/coalmine.git"
        remedy = local if remote == REMOTE else f"git remote add {remote} <the deployment repository>"
        raise BadInput(f"no remote {remote}", where=str(clone.path), remedy=remedy)
    if clone.run("status", "--porcelain", "--", at).strip():
        raise BadInput("was edited by hand", where=at, remedy=f"git checkout HEAD -- {at} (or delete it), then again")


def _fetch(clone: Repository, remote: str) -> str | None:
    """The tip of the remote's main, its objects here; None while nothing was pushed yet."""
    listed = clone.attempt("ls-remote", remote, MAIN)
    if listed.code:
        remedy = "is `coalmine up` done?" if remote == REMOTE else "try again"
        raise Temporary(f"{remote} does not answer: {listed.text.strip()}", where=str(clone.path), remedy=remedy)
    if not listed.out.strip():
        return None
    clone.run("fetch", "--quiet", "--no-tags", remote, f"+{MAIN}:refs/remotes/{remote}/main")
    return clone.commit(f"refs/remotes/{remote}/main")


def _commit(
    clone: Repository, file: ReleaseFile, text: str, *, theirs: str | None, ours: str, at: str, remote: str
) -> str:
    """On top of whichever of `ours` and the remote's main contains the other, or on a merge of both."""
    if theirs is None or clone.ancestor(theirs, ours):
        tree, parents = ours, [ours]
    elif clone.ancestor(ours, theirs):
        tree, parents = theirs, [theirs]
    else:
        # A healing commit landed while the person committed; main needs both, as theirs are the release's source.
        tree, parents = _merged(clone, theirs, ours, at=at, remote=remote), [theirs, ours]
    return clone.record(tree, parents, text, path=at, content=render(file))


def _merged(clone: Repository, theirs: str, ours: str, *, at: str, remote: str) -> str:
    done = clone.attempt("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", theirs, ours)
    tree, *clashes = [part for part in done.out.split("\0") if part]
    if done.code == 0 or (done.code == 1 and set(clashes) <= {at}):  # the release file is written anew anyway
        return tree
    files = f" in {', '.join(clashes)}" if clashes else ""
    raise BadInput(
        f"this branch and {remote}'s main have diverged{files}",
        where=str(clone.path),
        remedy=f"git pull --rebase {remote} main, then release again",
    )


def _push(clone: Repository, sha: str, *, tell: Callable[[str], None], to: Target) -> bool:
    """True if accepted, False if main moved meanwhile. Raises Refused with the check's own words."""
    done = clone.attempt("push", "--porcelain", to.remote, f"{sha}:{to.ref}")
    said = [line.removeprefix("remote:").strip() for line in done.text.splitlines() if line.startswith("remote:")]
    if done.code == 0:
        for line in filter(None, said):
            tell(line)
        return True
    verdict = next((line for line in done.out.splitlines() if line.startswith("!")), "")
    if "hook declined" in verdict:
        raise _refusal([line for line in said if line] or [verdict])
    if not to.branch and any(
        moved in verdict for moved in ("fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref")
    ):
        return False
    raise Temporary(f"git push failed: {(verdict or done.text).strip()}", where=str(clone.path), remedy="try again")


def _refusal(said: list[str]) -> Refused:
    """The check's first refusal as our own: what, and the remedy that it gave; further ones follow in the text."""
    lines = [line.removeprefix("coalmine: refused: ") for line in said]
    remedies = [line.removeprefix("remedy: ") for line in lines if line.startswith("remedy: ")]
    what = "\n".join(line for line in lines if not line.startswith("remedy: "))
    return Refused(f"the push was refused: {what}", remedy="; ".join(remedies))


def _follow(clone: Repository, sha: str, *, tell: Callable[[str], None], remote: str) -> None:
    """Bring the checkout to the pushed commit. Git refuses where that would overwrite edits; the release stands."""
    if clone.ancestor(sha, "HEAD"):
        return
    done = clone.attempt("merge", "--ff-only", "--quiet", sha)
    if done.code:
        tell(f"released, but this checkout stays where it was: {done.text.strip()}")
        tell(f"remedy: git pull --rebase {remote} main")
