"""After a rollback git still names the bad release; healing makes main say again what serves.

It writes on the tip of main of the deployment repository, once for each attempt whoever dies when, and only if nobody
has changed the release file since: a person's word stands.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from coalmine.errors import BadInput, Refused, Temporary
from coalmine.records import Ending, ReleaseId
from coalmine.release.file import ReleaseFile, parse, path, render
from coalmine.release.git import MAIN, Repository
from coalmine.settings import Settings

ATTEMPT = "Coalmine-Attempt"
MODEL = "Coalmine-Model"
_TRIES = 20  # main can move between reading and writing; each try is a race against one push
_SUBJECT = 100  # characters of the reason in a commit's first line; the whole of it is in the body
_NAME, _ADDRESS = "Coalmine", "coalmine@localhost"
_IDENTITY = {
    "GIT_AUTHOR_NAME": _NAME,
    "GIT_AUTHOR_EMAIL": _ADDRESS,
    "GIT_COMMITTER_NAME": _NAME,
    "GIT_COMMITTER_EMAIL": _ADDRESS,
}


class Main(Protocol):
    """Where main is: in a repository of this machine, or at a remote of which `repository` is a clone."""

    @property
    def repository(self) -> Repository: ...

    def tip(self) -> str | None:
        """Main's commit now, its objects at hand; None where there is none. Raises Temporary if out of reach."""

    def move(self, new: str, *, expected: str, why: str) -> bool:
        """Move main if it still is at `expected`; False if it is not any more."""


@dataclass(frozen=True, slots=True)
class Here:
    """Main in a repository of this machine."""

    repository: Repository

    def tip(self) -> str | None:
        return self.repository.commit(MAIN)

    def move(self, new: str, *, expected: str, why: str) -> bool:
        return self.repository.move(MAIN, new, expected=expected, why=why)


def heal(settings: Settings, ending: Ending, *, main: Main | None = None) -> str | None:
    """Write the release file of `ending.primary` on main, or remove it where a first release failed.

    Args:
        settings: the environment, and where this machine's repository is.
        ending: what failed, and what serves.
        main: where main is, if not in this machine's repository. What serves must have been on it then: a file that
            was never there cannot be made up without its image's digest.

    Returns:
        The healing commit's sha (an earlier call's too), or None where main no longer asks for the failed release.

    Raises:
        Temporary: main kept moving, its lock is held, or the remote does not answer; nothing has been written.
        Refused: main's history holds no release file of what serves.
    """
    place: Main = main or Here(Repository(settings.bare_repository, bare=True))
    bare = place.repository
    at = path(ending.model, settings.env)
    for _ in range(_TRIES):
        head = place.tip()
        if head is None:
            return None
        done = _healed(bare, ending, head)
        if done:
            return done
        if not _still_asked_for(bare, ending, head, at=at):
            return None
        content = _restored(bare, head, ending, at=at, made_up=None if main else settings.env)
        sha = bare.record(head, [head], message(ending), path=at, content=content, environ=_IDENTITY)
        if place.move(sha, expected=head, why=f"heal: attempt {ending.attempt}"):
            return sha
        time.sleep(0.05)
    raise Temporary(f"main moved {_TRIES} times while healing", where=str(bare.path), remedy="it is tried again")


def message(ending: Ending) -> str:
    """The healing commit's message: what went back, why, with the numbers, and the trailers that find it again."""
    reason = " ".join(ending.reason.split())  # one line: nothing in it can pass for a trailer
    short = reason if len(reason) <= _SUBJECT else reason[: _SUBJECT - 3].rstrip() + "..."
    back = f"back to {ending.primary}" if ending.primary else "withdrawn"
    return (
        f"heal: {ending.model} {back}, {ending.release} rolled back: {short}\n\n"
        f"{reason}\n\n"
        f"The attempt began with {ending.commit[:12]} and took {ending.ended - ending.started:.1f} s.\n"
        f'To try {ending.release} again: coalmine release {ending.release} --force "<why>"\n\n'
        f"{ATTEMPT}: {ending.attempt}\n"
        f"{MODEL}: {ending.model}\n"
        f"Coalmine-Failed: {ending.release}\n"
        f"Coalmine-Restored: {ending.primary or 'none'}\n"
    )


def _since(bare: Repository, ending: Ending, head: str) -> tuple[str, ...]:
    """What was committed since the attempt was asked for.

    Attempts count from 1 again in a new state folder, so an older commit with the same number is not this one's.
    """
    known = bare.commit(ending.commit) if ending.commit else None
    return (f"{known}..{head}",) if known else (head,)


def _healed(bare: Repository, ending: Ending, head: str) -> str | None:
    form = f"--format=%x01%H%n%(trailers:key={ATTEMPT},key={MODEL},key=Coalmine-Failed,unfold)"
    wanted = {
        f"{ATTEMPT}: {ending.attempt}",
        f"{MODEL}: {ending.model}",
        f"Coalmine-Failed: {ending.release}",
    }
    for block in bare.run("log", form, *_since(bare, ending, head)).split("\x01"):
        sha, _, trailers = block.partition("\n")
        if wanted <= set(trailers.splitlines()):
            return sha
    return None


def _still_asked_for(bare: Repository, ending: Ending, head: str, *, at: str) -> bool:
    named = _named(bare, head, at)
    if named is None or named.release != ending.release:
        return False
    if bare.commit(ending.commit or "") is None:
        return True
    # Named again by a newer commit (forced, or reverted twice): that is another attempt's business.
    return not bare.run("rev-list", "-1", f"{ending.commit}..{head}", "--", at).strip()


def _named(bare: Repository, revision: str, at: str) -> ReleaseFile | None:
    text = bare.text(revision, at)
    try:
        return parse(text, at=at) if text is not None else None
    except BadInput:
        return None


def _restored(bare: Repository, head: str, ending: Ending, *, at: str, made_up: str | None) -> str | None:
    """`made_up`: the environment for which a file may be written that was never on main."""
    if ending.primary is None:
        return None
    known = _as_it_was(bare, head, ending.primary, at=at)
    if known is None and made_up is None:
        what = f"main never named {ending.primary}, which serves: there is nothing to go back to"
        raise Refused(what, where=at, remedy="release a version that works")
    return render(known or ReleaseFile(ending.model, made_up or "", ending.primary))


def _as_it_was(bare: Repository, head: str, primary: ReleaseId, *, at: str) -> ReleaseFile | None:
    """The primary's file as last committed, drills' faults included: with one release since, healing is its revert."""
    for revision in bare.run("rev-list", head, "--", at).split():
        named = _named(bare, revision, at)
        if named is not None and named.release == primary:
            return named
    return None
