"""The bare repository that one pushes to, and what its main asks for now."""

from __future__ import annotations

import time
from dataclasses import dataclass

from coalmine.errors import BadInput, CoalmineError
from coalmine.files import write_whole
from coalmine.release import file as release_file
from coalmine.release.git import MAIN, NOTHING, Repository
from coalmine.release.install import connect, install
from coalmine.release.ledger import Ledger
from coalmine.release.tree import pushed_policy
from coalmine.rollout.canary import load_canary
from coalmine.rollout.state import Spec, Target, Terms
from coalmine.settings import Settings


def ensure(settings: Settings) -> Repository:
    """Make the bare repository with its push check; an empty one starts from the project's own HEAD.

    The project's checkout gets a remote named `coalmine` and nothing else: no commit, no branch.
    """
    bare = install(settings)
    project = Repository(settings.project)
    if project.commit("HEAD") is not None:
        if bare.commit(MAIN) is None:
            bare.run("fetch", "--quiet", "--no-tags", str(settings.project), f"HEAD:{MAIN}")
        connect(project, settings)
    return bare


@dataclass(slots=True)
class Watched:
    """What main names. Read anew only when main has moved; what cannot be read leaves the last target in force.

    Of several pushes between two looks the last one is seen; of two that are seen the first is superseded.
    """

    settings: Settings
    repository: Repository
    ledger: Ledger
    problem: str = ""  # why main's present commit is not acted upon, for `status`
    _seen: str = ""
    _target: Target | None = None

    def target(self) -> Target | None:
        head = self._head()
        if head != self._seen:
            self._seen = head
            try:
                self._target = self._read(head)
                self.problem = ""
            except CoalmineError as error:
                self.problem = f"main ({head[:7]}): {error}"
        return self._target

    def _head(self) -> str:
        """Main's sha, straight from the file: this is asked many times a second."""
        try:
            return (self.repository.path / MAIN).read_text(encoding="ascii").strip()
        except FileNotFoundError:  # packed, or there is no main yet
            return self.repository.commit(MAIN) or NOTHING

    def _moved(self) -> float:
        """When main moved: the same answer after a restart of ours."""
        try:
            return (self.repository.path / MAIN).stat().st_mtime
        except FileNotFoundError:
            return time.time()

    def _read(self, head: str) -> Target | None:
        model = self.settings.model
        at = release_file.path(model, self.settings.env)
        if head == NOTHING or (text := self.repository.text(head, at)) is None:
            return None
        named = release_file.parse(text, at=at)
        if self.ledger.find(model, named.release) is None:  # main came from elsewhere: no push of it was checked here
            raise BadInput(
                f"{named.release} was not built on this machine",
                where=at,
                remedy="coalmine retrain --release makes a release here; nothing is served until then",
            )
        files = {
            entry.path: self.repository.blob(entry.sha)
            for entry in self.repository.entries(head, f"flagger/{model}")
            if entry.path.endswith(".yaml")
        }
        canary = load_canary(files, model)
        told, policy = pushed_policy(self.repository, head, model)
        self._hand_over(told, canary.namespace, canary.name)
        # The attempt belongs to the commit that last changed the release file, not to whatever came onto main since.
        commit = self.repository.run("log", "-1", "--format=%H", head, "--", at).strip() or head
        return Target(
            spec=Spec(named.release, named.faults),
            commit=commit,
            pushed=self._moved(),
            canary=canary,
            terms=Terms(bake_seconds=policy.bake.seconds, silence_seconds=policy.silence_seconds),
        )

    def _hand_over(self, policy: str, namespace: str, name: str) -> None:
        """Put the accepted policy where the judge reads it, as a ConfigMap would be mounted."""
        write_whole(self.settings.policies / f"{namespace}.{name}.yaml", policy)
