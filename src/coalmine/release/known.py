"""What a push check knows besides the pushed objects: which releases there are, and which are in quarantine.

`OnMachine` reads the ledger that `package` and the closer of one machine keep. `Signed` serves a cluster, where no such
file is at hand: a release is known by its image's signature, and in quarantine by what main's own history says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from coalmine.errors import BadInput, CoalmineError, Refused
from coalmine.records import ReleaseId
from coalmine.release.file import ReleaseFile, locate, parse
from coalmine.release.git import NOTHING, Repository
from coalmine.release.ledger import Ledger

FORCE = "Coalmine-Force"
FAILED = "Coalmine-Failed"
MODEL = "Coalmine-Model"
RESTORED = "Coalmine-Restored"


@dataclass(frozen=True, slots=True)
class Asked:
    """A release file in a push that moves main from `old` (zeros: there was none) to `new`; `at` is its path.

    `forced`: a commit of the push that touches the file says why a release in quarantine is tried again.
    """

    file: ReleaseFile
    at: str
    old: str
    new: str
    forced: bool = False


class Verifier(Protocol):
    """Raises Refused where no signature says that the image is the release, Temporary where nobody can be asked."""

    def __call__(self, file: ReleaseFile) -> None: ...


@dataclass(frozen=True, slots=True)
class OnMachine:
    """One machine: what its ledger says. Going back to what serves is never doubted."""

    ledger: Ledger

    def models(self) -> set[str]:
        return {release.model for release in self.ledger.releases()}

    def serves(self, model: str, *, named: ReleaseId | None) -> ReleaseId | None:
        """The primary, whatever main has `named` so far."""
        del named
        return self.ledger.primary(model)

    def doubts(self, asked: Asked) -> Iterator[CoalmineError]:
        file = asked.file
        if file.image:
            remedy = "`coalmine release` without --image writes it for this machine"
            yield Refused("names an image, and this machine runs none", where=asked.at, remedy=remedy)
        if file.release != self.ledger.primary(file.model) and self.ledger.find(file.model, file.release) is None:
            known = ", ".join(str(release.id) for release in self.ledger.releases(file.model)[:5]) or "none"
            remedy = f"releases of {file.model} that are: {known}. `coalmine package` builds one, or `git rm` the file"
            yield Refused(f"{file.release} is not known on this machine", where=asked.at, remedy=remedy)

    def between(self, old: str, new: str, *, beside: set[str]) -> Iterator[CoalmineError]:
        """Nothing: the ledger is asked again whenever a release is named, wherever it was named before."""
        del self, old, new, beside
        yield from ()

    def held(self, asked: Asked) -> str:
        """Why the release is in quarantine; empty where it is not, or is forced."""
        if asked.forced or asked.file.release == self.ledger.primary(asked.file.model):
            return ""
        held = self.ledger.quarantined(asked.file.model, asked.file.release)
        return f"since attempt {held.attempt}: {held.reason}" if held else ""


@dataclass(frozen=True, slots=True)
class Signed:
    """A cluster: signatures and history. `repository` must hold all of main's history, not a shallow clone."""

    repository: Repository
    verify: Verifier

    def models(self) -> set[str]:
        return set()

    def serves(self, model: str, *, named: ReleaseId | None) -> ReleaseId | None:
        """What main names: it serves, or is about to."""
        del model
        return named

    def doubts(self, asked: Asked) -> Iterator[CoalmineError]:
        """Every content that the push gives the file, also between its ends: later it is history, which is believed.

        Bytes that main has held before were checked when they came. So going back needs no registry.
        """
        self._whole()
        accepted = set() if asked.old == NOTHING else self._contents(asked.old, at=asked.at)
        span = asked.new if asked.old == NOTHING else f"{asked.old}..{asked.new}"
        for sha in sorted(self._contents(span, "--full-history", at=asked.at) - accepted):
            try:
                yield from self._unsigned(parse(self.repository.blob(sha), at=asked.at), at=asked.at)
            except BadInput as error:
                remedy = "squash the commits of this push into one"
                yield Refused(f"was broken by a commit in between: {error.what}", where=asked.at, remedy=remedy)

    def between(self, old: str, new: str, *, beside: set[str]) -> Iterator[CoalmineError]:
        """As `doubts`, of release files that a push changes and changes back; those `beside` are asked about anyway."""
        span = new if old == NOTHING else f"{old}..{new}"
        form = ("--format=", "--name-only", "--no-renames", "--root", "-m", "--full-history", "-z")
        listed = self.repository.run("log", *form, span, "--", "gitops/apps").split("\0")
        for at in sorted({name.strip("\n") for name in listed} - beside):
            model, env = locate(at) or ("", "")
            if model:
                anyone = ReleaseFile(model, env, ReleaseId(1, NOTHING[:7]))  # whatever it names at the ends
                yield from self.doubts(Asked(anyone, at, old, new))

    def _unsigned(self, file: ReleaseFile, *, at: str) -> Iterator[CoalmineError]:
        if not file.image:
            remedy = "let `coalmine release --env ... --image <repository>@<digest>` write it"
            yield Refused(f"{file.release} names no image by digest", where=at, remedy=remedy)
            return
        try:
            self.verify(file)
        except CoalmineError as error:
            error.where = error.where or at
            yield error

    def held(self, asked: Asked) -> str:
        """A healing commit names the release as failed, and no later commit that names it again says why.

        `asked.forced` does not count: what was forced may have failed again since, within this very push.
        """
        self._whole()
        wanted = {f"{FAILED}: {asked.file.release}", f"{MODEL}: {asked.file.model}"}
        form = f"--format=%x01%H%x00%s%x00%(trailers:key={FAILED},key={MODEL},unfold)"
        found = self.repository.run("log", f"--grep=^{FAILED}: {asked.file.release}$", form, asked.new)
        for block in filter(None, found.split("\x01")):
            sha, subject, trailers = block.split("\0", 2)
            if wanted <= set(trailers.splitlines()) and not self._forced(asked, since=sha):
                return f"since {sha[:12]}: {subject}"
        return ""

    def _forced(self, asked: Asked, *, since: str) -> bool:
        for sha in self.repository.run("rev-list", f"{since}..{asked.new}", "--", asked.at).split():
            text = self.repository.text(sha, asked.at)
            if text and str(asked.file.release) in text and self.repository.trailer((f"{sha}^!",), FORCE):
                return True
        return False

    def _contents(self, span: str, *how: str, at: str) -> set[str]:
        """The file's contents, as git names them, in the commits of a span."""
        form = ("--format=", "--raw", "--no-abbrev", "--no-renames", "--root", "-m")
        listed = self.repository.run("log", *form, *how, span, "--", at)
        found = {line.split()[3] for line in listed.splitlines() if line.startswith(":")}
        return found - {NOTHING}

    def _whole(self) -> None:
        if self.repository.run("rev-parse", "--is-shallow-repository").strip() == "true":
            raise BadInput(
                "history is cut off, and quarantines are in it",
                where=str(self.repository.path),
                remedy="fetch all of it: `git fetch --unshallow`, or `fetch-depth: 0` in the workflow",
            )
