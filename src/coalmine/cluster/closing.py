"""From an end to its closing: find reason and commit once, then the steps that every runtime takes, and the news."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from coalmine.cluster import notify, witnesses
from coalmine.cluster.attempts import End, Kind
from coalmine.cluster.options import Options, Place, place
from coalmine.cluster.remote import Remote
from coalmine.cluster.store import ClosersStore, Told
from coalmine.cluster.witnesses import Judge
from coalmine.errors import BadInput, CoalmineError, Temporary
from coalmine.records import Ending, Outcome, ReleaseId
from coalmine.release.closer import Step, close, usual
from coalmine.release.file import parse, path
from coalmine.release.heal import heal
from coalmine.release.ledger import Ledger
from coalmine.settings import Settings

_WHY_NOT = {
    Kind.CONFIG: "left: the release serves; what failed is beside the release file, and a person must take it back",
    Kind.RETURN: "left: neither release does well; a person must decide",
}


class Events(Protocol):
    """What Flagger said about a Canary."""

    def events(self, namespace: str, name: str) -> Iterable[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Closing:
    """Closes ends, one at a time. `at` hears of each point passed; for logs, and for tests that kill."""

    options: Options
    store: ClosersStore
    main: Remote
    judge: Judge
    cluster: Events
    at: Callable[[str], None] = lambda _: None
    clock: Callable[[], float] = time.time

    def close(self, told: Told) -> Ending:
        """Do what is not yet done. Raises Temporary where something has to wait; call again after a pause."""
        here = place(self.options, told.key, model=told.model, env=told.env)
        ending = told.ending or self._explained(told, here)
        self.at("explained")
        close(here, ending, steps=self.steps(told, ending), at=self.at)
        self.at("closed")
        self.store.finish(told)
        return ending

    def steps(self, told: Told, ending: Ending) -> dict[str, Step]:
        """The usual ones with main at the remote, and one for each of those to be told."""
        steps = usual(ending.outcome)
        if "heal" in steps:
            steps["heal"] = self._heal
        if ending.primary is None and "heal" in steps:
            steps["heal"] = _nothing_before
        if told.end.kind in _WHY_NOT and "heal" in steps:
            steps["heal"] = steps["quarantine"] = lambda *_: _WHY_NOT[told.end.kind]
        if not self.options.mlflow:
            steps = {name: step for name, step in steps.items() if name not in ("alias", "tags")}
        for name, tell in notify.sinks(self.options.notify).items():
            steps[f"notify {name}"] = self._telling(told, tell)
        return steps

    def _telling(self, told: Told, tell: Callable[[notify.News], str]) -> Step:
        return lambda _, ending, ledger: tell(self._news(told, ending, ledger))

    def _heal(self, settings: Settings, ending: Ending, _ledger: Ledger) -> str:
        return heal(settings, ending, main=self.main) or "left: main no longer asked for it"

    def _news(self, told: Told, ending: Ending, ledger: Ledger) -> notify.News:
        done = ledger.steps(ending)
        page = Path(done["report"]) if done.get("report", "").startswith("/") else None
        link = ""
        if page is not None and self.options.public:
            link = f"{self.options.public.rstrip('/')}/reports/{told.key}/{page.name}"
        return notify.News(told.namespace, told.name, told.env, ending, done, link)

    def _explained(self, told: Told, here: Place) -> Ending:
        """The ending with reason and commit, kept so that each later try writes the same. Judge and git are waited for
        a while, not for ever: neither may keep a failed release from its quarantine.
        """
        analysis, silent = self._analysis(told)
        end = _convicted(told.end, analysis)
        warnings: Iterable[Mapping[str, Any]] = ()
        if end.outcome is Outcome.ROLLED_BACK and not witnesses.says_rollback(analysis):
            warnings = self._events(told)
        ending = Ending(
            model=told.model,
            attempt=end.attempt,
            release=end.release,
            primary=end.primary,
            outcome=end.outcome,
            reason=witnesses.reason(end, analysis, warnings, silent=silent),
            commit=self._commit(told, here),
            started=end.started,
            ended=end.ended,
            baked=end.baked,
        )
        self.store.explain(told, ending)
        return ending

    def _commit(self, told: Told, here: Place) -> str:
        try:
            return self.asked_by(told.key, told.end.attempt, here, told.end.release)
        except Temporary:
            if self.clock() - told.told < self.options.grace:
                raise
            return ""

    def _analysis(self, told: Told) -> tuple[witnesses.Analysis | None, bool]:
        if told.end.outcome is Outcome.FIRST_RELEASE:
            return None, False
        try:
            found = witnesses.of_attempt(self.judge.analyses(told.namespace, told.name), told.end)
        except Temporary:
            if self.clock() - told.told < self.options.grace:
                raise
            return None, True
        return found, False

    def _events(self, told: Told) -> Iterable[Mapping[str, Any]]:
        try:
            return self.cluster.events(told.namespace, told.name)
        except CoalmineError:
            return ()  # they only colour the reason

    def asked_by(self, key: str, attempt: int, here: Place, release: ReleaseId) -> str:
        """The newest commit on main that names `release`, as it was when it was first asked for; empty if unknown.

        Raises Temporary where the remote cannot be read.
        """
        known = self.store.asked_by(key, attempt)
        if known:
            return known
        head = self.main.tip()
        if head is None:
            return ""
        at = path(here.model, here.env)
        for sha in self.main.repository.run("rev-list", head, "--", at).split():
            if _names(self.main.repository.text(sha, at), at, release):
                return self.store.asked_by(key, attempt, sha)
        return ""


def _convicted(end: End, analysis: witnesses.Analysis | None) -> End:
    """An attempt that only looks superseded: it had been rolled back while nobody watched, and then came the push."""
    if end.outcome is not Outcome.SUPERSEDED or analysis is None or analysis.get("outcome") != "rolled_back":
        return end
    return replace(end, outcome=Outcome.ROLLED_BACK) if witnesses.says_rollback(analysis) else end


def _names(text: str | None, at: str, release: ReleaseId) -> bool:
    try:
        return text is not None and parse(text, at=at).release == release
    except BadInput:
        return False


def _nothing_before(*_: object) -> str:
    return "left: there is no release before it; push one that works"
