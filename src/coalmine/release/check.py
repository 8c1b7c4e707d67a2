"""The push check: run by the deployment repository's hooks, from the installed package, never from what is pushed.

`python -I -m coalmine.release.check --ledger <file> --env <name>` reads git's `<old> <new> <ref>` lines, writes each
refusal with its remedy into the push's output and exits with 1 if there is one. With `--after` (post-receive) it
records which quarantines the accepted push has lifted. Only main is checked; other branches deploy nothing.

It must answer within a second: nothing is imported that the push does not need.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import BadInput, CoalmineError, Refused
from coalmine.release import tree
from coalmine.release.file import LIMIT, REMEDY, ReleaseFile, locate, parse, render
from coalmine.release.git import MAIN, NOTHING, Change, Repository
from coalmine.release.ledger import Ledger

FORCE = "Coalmine-Force"
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


@dataclass(frozen=True, slots=True)
class Check:
    """What the answer depends on: the objects pushed, the ledger, and the environment that this machine runs."""

    repository: Repository
    ledger: Ledger
    env: str

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
        yield from tree.policies(self.repository, update.new, changes, env=self.env, first=update.old == NOTHING)

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
        named = self.repository.run("rev-list", "--objects", update.new, "--not", "--all")
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
        model, env = locate(change.path) or ("", "")
        primary = self.ledger.primary(model)
        if change.deleted:
            if primary is not None and env == self.env:
                yield Refused(
                    f"{model} serves {primary}: deleting its release file would leave nothing to say so",
                    where=change.path,
                    remedy="restore it with `git revert`, or stop serving with `coalmine down`",
                )
            return
        yield from tree.place(self.repository, update.new, change.path, env=self.env, known=self._models())
        if change.mode != "100644":
            return  # said already by tree.shape
        file, text = self._read(change)
        if render(file) != text:
            yield Refused("its bytes are not the rendering of a release", where=change.path, remedy=REMEDY)
        if file.faults:
            yield from tree.drill(self.repository, update.new, file, at=change.path)
            yield from self._drill_of_primary(update, file, at=change.path)
        if file.release != primary:  # going back to what serves must never fail
            yield from self._standing(update, file, at=change.path)

    def _drill_of_primary(self, update: Update, file: ReleaseFile, *, at: str) -> Iterator[Refused]:
        """Both arms would be one release, and no log or vote could tell them apart. Going back to it is no drill."""
        before = None if update.old == NOTHING else self.repository.text(update.old, at)
        if file.release == self.ledger.primary(file.model) and before and str(file.release) in before:
            yield Refused(
                f"{file.release} serves now: as its own canary it could not be told from itself",
                where=at,
                remedy="break another release: commit something, then `coalmine package` builds one",
            )

    def _read(self, change: Change) -> tuple[ReleaseFile, str]:
        size = int(self.repository.run("cat-file", "-s", change.sha))
        if size > LIMIT:
            raise Refused(f"has {size} bytes, more than {LIMIT}", where=change.path, remedy=REMEDY)
        text = self.repository.blob(change.sha)
        return parse(text, at=change.path), text

    def _standing(self, update: Update, file: ReleaseFile, *, at: str) -> Iterator[Refused]:
        if self.ledger.find(file.model, file.release) is None:
            known = ", ".join(str(release.id) for release in self.ledger.releases(file.model)[:5]) or "none"
            remedy = f"releases of {file.model} that are: {known}. `coalmine package` builds one, or `git rm` the file"
            yield Refused(f"{file.release} is not known on this machine", where=at, remedy=remedy)
        force = self.repository.trailer(update.span, FORCE, path=at)
        if force == "":
            yield Refused(f"the trailer {FORCE} gives no reason", where=at, remedy=f"write `{FORCE}: <why again>`")
        held = self.ledger.quarantined(file.model, file.release)
        if held and force is None:
            remedy = f'coalmine release {file.release} --force "<why again>" (a commit trailer `{FORCE}: <why again>`)'
            what = f"{file.release} is quarantined since attempt {held.attempt}: {held.reason}"
            yield Refused(what, where=at, remedy=remedy)

    def _models(self) -> set[str]:
        return {release.model for release in self.ledger.releases()}

    def lift(self, update: Update) -> Iterator[str]:
        """After acceptance: record the quarantines that the push forced open, and say so."""
        if update.ref != MAIN or update.new == NOTHING:
            return
        for change in self.repository.changes(update.old, update.new):
            force = self.repository.trailer(update.span, FORCE, path=change.path) if locate(change.path) else None
            if change.deleted or not force:
                continue
            file, _ = self._read(change)
            if self.ledger.quarantined(file.model, file.release):
                self.ledger.lift(file.model, file.release, commit=update.new, reason=force)
                yield f"{file.release}: quarantine lifted: {force}"


def _caught(rule: Rule, update: Update, change: Change) -> Iterator[CoalmineError]:
    """The refusals of a rule, those that it raises included, so that one bad file does not hide another's fault."""
    try:
        yield from rule(update, change)
    except BadInput as error:
        yield error


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
        check = Check(Repository(Path.cwd(), in_hook=True), Ledger(given.ledger), given.env)
        updates = read_updates(sys.stdin)
        if given.after:
            out.writelines(f"coalmine: {line}\n" for update in updates for line in check.lift(update))
            return 0
        refusals = [refusal for update in updates for refusal in check.refusals(update)]
    except CoalmineError as error:
        refusals = [error]
    for refusal in refusals:
        out.write(f"coalmine: refused: {refusal}\n")
    return 1 if refusals else 0


if __name__ == "__main__":
    sys.exit(main())
