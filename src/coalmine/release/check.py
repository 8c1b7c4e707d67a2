"""The push check: run by the deployment repository's hooks, from the installed package, never from what is pushed.

`python -I -m coalmine.release.check --ledger <file> --env <name>` reads git's `<old> <new> <ref>` lines, writes each
refusal with its remedy into the push's output and exits with 1 if there is one. With `--after` (post-receive) it
records which quarantines the accepted push has lifted. Only main is checked; other branches deploy nothing.

`coalmine check` asks the same of two commits of a forge's repository, where signatures stand in for the ledger.

The hook must answer within a second: nothing is imported that the push does not need.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from coalmine.errors import BadInput, CoalmineError, Refused
from coalmine.records import ReleaseId
from coalmine.release import tree
from coalmine.release.file import LIMIT, REMEDY, ReleaseFile, locate, parse, render
from coalmine.release.git import MAIN, NOTHING, Change, Repository
from coalmine.release.known import FORCE, RESTORED, Asked, OnMachine
from coalmine.release.ledger import Ledger

BLOB_LIMIT = 10 * 2**20  # bytes of one file anywhere in the pushed history: models belong to the registry, not into git


@dataclass(frozen=True, slots=True)
class Update:
    """One line of git's: a ref that moves from `old` to `new` (zeros: created or deleted)."""

    old: str
    new: str
    ref: str

    @property
    def span(self) -> tuple[str, ...]:
        """What the push brings, as arguments of `git log`."""
        return (self.new,) if self.old == NOTHING else (f"{self.old}..{self.new}",)


Rule = Callable[[Update, Change], Iterator[CoalmineError]]


class Known(Protocol):
    """What is known of releases beside the push: see `coalmine.release.known`."""

    def models(self) -> set[str]: ...

    def serves(self, model: str, *, named: ReleaseId | None) -> ReleaseId | None: ...

    def doubts(self, asked: Asked) -> Iterator[CoalmineError]: ...

    def between(self, old: str, new: str, *, beside: set[str]) -> Iterator[CoalmineError]: ...

    def held(self, asked: Asked) -> str: ...


@dataclass(frozen=True, slots=True)
class Check:
    """What the answer depends on: the objects pushed, what is known, and the environment that runs here.

    `overlays_needed`: each model's Canary must have an overlay for `env`, as one machine needs it.
    """

    repository: Repository
    known: Known
    env: str
    overlays_needed: bool = True

    def refusals(self, update: Update) -> Iterator[CoalmineError]:
        """Everything that is wrong with one ref's update, or nothing."""
        if update.ref != MAIN:
            return
        bad = self._history(update)
        if bad:
            yield bad
            return
        yield from self._sizes(update)
        changes = self.repository.changes(update.old, update.new)
        yield from tree.shape(changes)
        for change in changes:
            if locate(change.path):
                yield from _caught(self._release, update, change)
        yield from self.known.between(update.old, update.new, beside={change.path for change in changes})
        needed = (self.env,) if self.overlays_needed else ()
        yield from tree.policies(
            self.repository, update.new, changes, env=self.env, needed=needed, first=update.old == NOTHING
        )

    def _history(self, update: Update) -> Refused | None:
        if update.new == NOTHING:
            return Refused("main cannot be deleted: it says what runs", where=update.ref, remedy="push another branch")
        if self.repository.commit(update.new) is None:
            return Refused("main can only be a commit", where=update.ref, remedy="push a branch, not a tag or a tree")
        if update.old != NOTHING and not self.repository.ancestor(update.old, update.new):
            return Refused(
                "main cannot be rewritten: attempts and reports point at its commits",
                where=update.ref,
                remedy="git pull --rebase coalmine main, then push without --force",
            )
        return None

    def _sizes(self, update: Update) -> Iterator[Refused]:
        # In a hook the pushed ref has not moved yet; in a clone the pushed commit is a ref's already.
        before = ["--all"] if self.repository.in_hook else [] if update.old == NOTHING else [update.old]
        named = self.repository.run("rev-list", "--objects", update.new, "--not", *before)
        form = "--batch-check=%(objecttype) %(objectsize) %(rest)"
        for line in self.repository.run("cat-file", form, stdin=named).splitlines():
            kind, size, path = (*line.split(" ", 2), "")[:3]
            if kind == "blob" and int(size) > BLOB_LIMIT:
                yield Refused(
                    f"has {int(size) / 2**20:.1f} MiB, more than {BLOB_LIMIT // 2**20} MiB",
                    where=path,
                    remedy="keep models in the registry and data in the lake; take the file out of the commit too",
                )

    def _release(self, update: Update, change: Change) -> Iterator[CoalmineError]:
        model, _ = locate(change.path) or ("", "")
        serving = self.known.serves(model, named=self._named(update.old, change.path))
        if change.deleted:
            yield from self._deleted(update, change.path, serving=serving)
            return
        yield from tree.place(self.repository, update.new, change.path, env=self.env, known=self.known.models())
        if change.mode != "100644":
            return  # said already by tree.shape
        file, text = self.read(change)
        if render(file) != text:
            yield Refused("its bytes are not the rendering of a release", where=change.path, remedy=REMEDY)
        if file.faults:
            yield from tree.drill(self.repository, update.new, file, at=change.path)
            yield from self._drill_of_primary(update, file, serving=serving, at=change.path)
        yield from self._standing(update, file, at=change.path, serving=serving)

    def _deleted(self, update: Update, at: str, *, serving: ReleaseId | None) -> Iterator[Refused]:
        model, env = locate(at) or ("", "")
        if serving is None or env != self.env or self.repository.trailer(update.span, RESTORED, path=at) == "none":
            return  # healing withdraws a first release that failed
        if not self.repository.in_hook and not self.repository.entries(update.new, f"gitops/apps/{model}/"):
            return  # the model goes as a whole
        yield Refused(
            f"{model} serves {serving}: deleting its release file would leave nothing to say so",
            where=at,
            remedy="restore it with `git revert`, or stop serving with `coalmine down`",
        )

    def _named(self, revision: str, at: str) -> ReleaseId | None:
        """The release that main has named until now."""
        text = None if revision == NOTHING else self.repository.text(revision, at)
        try:
            return parse(text, at=at).release if text else None
        except BadInput:
            return None

    def _drill_of_primary(
        self, update: Update, file: ReleaseFile, *, serving: ReleaseId | None, at: str
    ) -> Iterator[Refused]:
        """Both arms would be one release, and no log or vote could tell them apart. Going back to it is no drill."""
        if file.release == serving == self._named(update.old, at):
            yield Refused(
                f"{file.release} serves now: as its own canary it could not be told from itself",
                where=at,
                remedy="break another release: commit something, then `coalmine package` builds one",
            )

    def read(self, change: Change) -> tuple[ReleaseFile, str]:
        """A pushed release file and its text. Raises BadInput."""
        size = int(self.repository.run("cat-file", "-s", change.sha))
        if size > LIMIT:
            raise Refused(f"has {size} bytes, more than {LIMIT}", where=change.path, remedy=REMEDY)
        text = self.repository.blob(change.sha)
        return parse(text, at=change.path), text

    def _standing(
        self, update: Update, file: ReleaseFile, *, serving: ReleaseId | None, at: str
    ) -> Iterator[CoalmineError]:
        force = self.repository.trailer(update.span, FORCE, path=at)
        asked = Asked(file, at, update.old, update.new, forced=force is not None)
        yield from self.known.doubts(asked)
        if force == "" and file.release != serving:
            yield Refused(f"the trailer {FORCE} gives no reason", where=at, remedy=f"write `{FORCE}: <why again>`")
        if held := self.known.held(asked):
            remedy = f'coalmine release {file.release} --force "<why again>" (a commit trailer `{FORCE}: <why again>`)'
            yield Refused(f"{file.release} is quarantined {held}", where=at, remedy=remedy)


def _caught(rule: Rule, update: Update, change: Change) -> Iterator[CoalmineError]:
    """The refusals of a rule, those that it raises included, so that one bad file does not hide another's fault."""
    try:
        yield from rule(update, change)
    except BadInput as error:
        yield error


def examine(check: Check, old: str, new: str) -> list[CoalmineError]:
    """What is wrong with moving main from one commit to another, in a clone that has both; for a forge's check.

    Raises:
        BadInput: no such commit here. An `old` that is empty or zeros means that there was no main.
    """
    named = []
    for revision in (old, new):
        sha = NOTHING if revision in {"", NOTHING} else check.repository.commit(revision)
        if sha is None:
            remedy = "name two commits, and fetch all of main's history"
            raise BadInput(f"no commit {revision} here", where=str(check.repository.path), remedy=remedy)
        named.append(sha)
    return list(check.refusals(Update(named[0], named[1], MAIN)))


def lift(check: Check, ledger: Ledger, update: Update) -> Iterator[str]:
    """After acceptance: record the quarantines that the push forced open, and say so."""
    if update.ref != MAIN or update.new == NOTHING:
        return
    for change in check.repository.changes(update.old, update.new):
        force = check.repository.trailer(update.span, FORCE, path=change.path) if locate(change.path) else None
        if change.deleted or not force:
            continue
        file, _ = check.read(change)
        if ledger.quarantined(file.model, file.release):
            ledger.lift(file.model, file.release, commit=update.new, reason=force)
            yield f"{file.release}: quarantine lifted: {force}"


def read_updates(lines: Iterable[str]) -> list[Update]:
    """Git's lines on standard input. Raises BadInput for anything else, so that nothing is let through half-read."""
    updates = []
    for line in lines:
        parts = line.split()
        if len(parts) != 3:
            raise BadInput(f"{line!r} is no line of git's pre-receive hook", remedy="this is called by git alone")
        updates.append(Update(*parts))
    return updates


def main(arguments: list[str] | None = None) -> int:
    """The hooks' entry: 0 accepts the push, 1 refuses it."""
    reader = argparse.ArgumentParser(prog="coalmine.release.check", description=__doc__)
    reader.add_argument("--ledger", type=Path, required=True, help="the SQLite file of `coalmine.release.ledger`")
    reader.add_argument("--env", default="local")
    reader.add_argument("--after", action="store_true", help="post-receive: record what was forced")
    given = reader.parse_args(arguments)
    out = sys.stderr
    try:
        ledger = Ledger(given.ledger)
        check = Check(Repository(Path.cwd(), in_hook=True), OnMachine(ledger), given.env)
        updates = read_updates(sys.stdin)
        if given.after:
            out.writelines(f"coalmine: {line}\n" for update in updates for line in lift(check, ledger, update))
            return 0
        refusals = [refusal for update in updates for refusal in check.refusals(update)]
    except CoalmineError as error:
        refusals = [error]
    for refusal in refusals:
        out.write(f"coalmine: refused: {refusal}\n")
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main())
