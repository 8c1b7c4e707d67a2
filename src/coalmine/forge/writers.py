"""Who may write release files: the addresses of `.github/release-writers`, with a key by their signature.

The list is read at the base, never from what is proposed: a change cannot admit its own author.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import BadInput, Missing, Refused
from coalmine.release.git import NOTHING, Repository

LIST = ".github/release-writers"
LOCAL = "local"  # one machine's releases are a person's own; no cluster runs them
# The folder itself as well: it could be replaced by a link.
_UNDER = (":(glob)gitops/apps/*/release/**", ":(glob)gitops/apps/*/release")
_PLACE = re.compile(r"gitops/apps/[^/]+/release(?:/(?P<env>[^/]+)/.*|/[^/]*|)\Z", re.DOTALL)
_LINE = re.compile(
    r"(?P<mail>[^\s@]+@[^\s@]+)(?:\s+(?:(?P<pushes>pushes)|(?P<key>(?:ssh-|ecdsa-|sk-)\S+\s+[A-Za-z0-9+/]+=*)(?:\s.*)?))?\Z"
)


@dataclass(frozen=True, slots=True)
class Writer:
    """One line of the list. `key` is a public SSH key; without it the address alone is believed. `pushes`: only of what
    is on main already, where few can push; not of what anybody may propose.
    """

    mail: str
    key: str = ""
    pushes: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that changes release files: paths with the content that it leaves (zeros: removed)."""

    sha: str
    mail: str
    files: Mapping[str, str]


def read(text: str, *, at: str = LIST) -> tuple[Writer, ...]:
    """The list's writers; `#` begins a comment line. Raises BadInput naming the line."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        row = line.strip()
        if not row or row.startswith("#"):
            continue
        match = _LINE.match(row)
        if match is None:
            remedy = "write `<address>`, `<address> pushes` or `<address> ssh-ed25519 <public key>`"
            raise BadInput(f"{row!r} is no writer", where=f"{at}:{number}", remedy=remedy)
        found.append(Writer(match["mail"], match["key"] or "", bool(match["pushes"])))
    return tuple(found)


def listed(repository: Repository, revision: str, *, at: str = LIST) -> tuple[Writer, ...]:
    """The writers that a commit lists. Raises BadInput where it lists none: then nobody could release."""
    text = repository.text(revision, at)
    writers = read(text or "", at=f"{revision[:12]}:{at}")
    if not writers:
        remedy = "commit the file with the bot's address: see docs/how-to/release-by-pull-request.md"
        raise BadInput("no writer of release files is listed", where=f"{revision[:12]}:{at}", remedy=remedy)
    return writers


def refusals(repository: Repository, base: str, head: str, *, proposed: bool = False) -> Iterator[Refused]:
    """Each commit in base..head that changes a release file and is no writer's; then what no writer left so.

    `base` of zeros: all of head's history is new, and its own list counts. A merge is looked at where its content
    is no parent's. `proposed`: it is not on main yet, and whoever opened it chose its addresses. Raises BadInput for
    commits that are not there.
    """
    tip = _commit(repository, head)
    old = NOTHING if base == NOTHING else _commit(repository, base)
    span = tip if old == NOTHING else f"{old}..{tip}"
    commits = list(_commits(repository, span))
    changed = {one.path: one.sha for one in repository.changes(old, tip) if _governed(one.path)}
    if not commits and not changed:
        return
    everybody = listed(repository, tip if old == NOTHING else old)
    writers = tuple(one for one in everybody if not (proposed and one.pushes))
    left: set[tuple[str, str]] = set()
    blamed: set[str] = set()
    for commit in commits:
        why = _doubt(repository, commit, writers)
        if why:
            yield _refused(f"{commit.sha[:12]} {why}", next(iter(commit.files)))
            blamed |= set(commit.files)
        else:
            left |= set(commit.files.items())
    for path, sha in changed.items():
        if path not in blamed and (path, sha) not in left:
            yield _refused("a merge leaves it as no writer did", path)


def _refused(what: str, path: str) -> Refused:
    remedy = "leave release files to the workflow `release` and to healing; drop these commits"
    return Refused(what, where=path, remedy=remedy)


def _commit(repository: Repository, revision: str) -> str:
    found = repository.commit(revision)
    if found is None:
        remedy = "fetch all of it: `fetch-depth: 0` in the workflow"
        raise BadInput(f"no commit {revision}", where=str(repository.path), remedy=remedy)
    return found


def _governed(path: str) -> bool:
    match = _PLACE.match(path)
    return match is not None and match["env"] != LOCAL


def _commits(repository: Repository, span: str) -> Iterator[Commit]:
    """Oldest first. `-c`: of a merge only what differs from every parent."""
    form = ("--format=%x01%H%x00%ae%x00", "--raw", "-z", "-c", "--no-abbrev", "--no-renames", "--root")
    told = repository.run("log", "--reverse", "--full-history", *form, span, "--", *_UNDER)
    for block in filter(None, told.split("\x01")):
        sha, mail, rest = block.split("\0", 2)
        files = {path: new for path, new in _raw(rest) if _governed(path)}
        if files:
            yield Commit(sha, mail, files)


def _raw(text: str) -> Iterator[tuple[str, str]]:
    """Path and new content of git's raw lines with -z; a merge's line bears a colon for each parent."""
    parts = iter(text.split("\0"))
    for part in parts:
        facts = part.lstrip("\n")
        if not facts.startswith(":"):
            continue
        parents = len(facts) - len(facts.lstrip(":"))
        yield next(parts), facts.lstrip(":").split()[2 * parents + 1]


def _doubt(repository: Repository, commit: Commit, writers: tuple[Writer, ...]) -> str:
    """Why the commit is not believed to be a writer's; empty where it is."""
    keys = [writer.key for writer in writers if writer.mail == commit.mail]
    if not keys:
        return f"is by {commit.mail}, who may not write release files"
    if "" in keys:
        return ""
    if shutil.which("ssh-keygen") is None:
        raise Missing("ssh-keygen is not installed", remedy="sudo apt-get install openssh-client")
    with tempfile.TemporaryDirectory(prefix="coalmine-signers-") as folder:
        signers = Path(folder) / "signers"
        signers.write_text("".join(f'{commit.mail} namespaces="git" {key}\n' for key in keys), encoding="utf-8")
        trusted = f"gpg.ssh.allowedSignersFile={signers}"
        said = repository.run("-c", trusted, "log", "-1", "--format=%G?%x00%GS", commit.sha).strip()
    good = said == f"G\0{commit.mail}"
    return "" if good else f"names {commit.mail}, but is not signed with their key"
