"""One look: a Canary with its Deployments -> what is remembered, and the ends that follow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from coalmine.cluster.api import Object
from coalmine.cluster.attempts import End, Kind, Track, bake_failed, baked, follow
from coalmine.cluster.closing import Closing
from coalmine.cluster.options import Options, place
from coalmine.cluster.seen import Seen, look, targets
from coalmine.cluster.store import ClosersStore
from coalmine.cluster.tally import Tally
from coalmine.cluster.witnesses import Analysis, Judge, says_rollback
from coalmine.errors import CoalmineError, Temporary
from coalmine.judge import client
from coalmine.release.report import UNNAMED

_log = structlog.get_logger("coalmine.closer")
_WHO = "coalmine closer"
_OPENS = 30.0  # seconds after a promotion in which the judge's bake may still be about to begin


class Deployments(Protocol):
    """See api.Api."""

    def deployment(self, namespace: str, name: str) -> Object | None: ...


@dataclass(frozen=True, slots=True)
class Looking:
    """Reads and remembers; closes nothing."""

    options: Options
    api: Deployments
    store: ClosersStore
    judge: Judge
    closing: Closing
    tally: Tally
    clock: Callable[[], float] = time.time

    def at(self, canary: Object) -> None:
        """Take in one Canary as the server gave it. Raises Temporary where the rest cannot be read."""
        namespace = str(canary["metadata"]["namespace"])
        target, primary = (self.api.deployment(namespace, name) for name in targets(canary))
        seen = look(canary, target, primary, env=self.options.env, t=self.clock())
        self.tally.looks.inc()
        before = self.store.track(seen.key)
        track, ends = follow(before, seen)
        if track == before or (before is None and track == Track()):
            return
        self.store.save(seen, track, ends)
        for end in ends:
            self._tell(seen, end)
        if track.open is not None and (before is None or before.open != track.open):
            self._ask_who(seen, track)

    def _tell(self, seen: Seen, end: End) -> None:
        self.tally.ends.labels(seen.namespace, seen.name, end.outcome).inc()
        words = {
            "attempt": end.attempt,
            "release": str(end.release),
            "outcome": str(end.outcome),
            "kind": str(end.kind),
        }
        _log.info("attempt ended", canary=seen.key, **words)

    def _ask_who(self, seen: Seen, track: Track) -> None:
        """Remember the commit that asked for the attempt while it is the newest; what fails is done at its end."""
        attempt = track.open
        if attempt is None or self.store.asked_by(seen.key, attempt.number):
            return
        _log.info("attempt begins", canary=seen.key, attempt=attempt.number, release=str(attempt.release))
        here = place(self.options, seen.key, model=seen.model, env=seen.env)
        try:
            self.closing.asked_by(seen.key, attempt.number, here, attempt.release)
        except CoalmineError as error:
            _log.warning("main cannot be read", canary=seen.key, error=str(error))

    # ---- what the judge is asked between looks ----

    def mind(self) -> None:
        """Bakes that may fail or be over, and canaries that go back and need nobody's proof."""
        for track, seen in self.store.tracks().values():
            if track.bake is None and not _goes_back(track):
                continue
            try:
                found = self.judge.analyses(seen.namespace, seen.name)
            except Temporary:
                continue  # a dead judge ends no bake and hurries nobody
            if track.bake is not None:
                self._bake(seen, track, found)
            elif _goes_back(track):
                self._hurry(seen, track, found)

    def _bake(self, seen: Seen, track: Track, analyses: list[Analysis]) -> None:
        bake = track.bake
        assert bake is not None  # `mind` looked
        named = (str(bake.release), UNNAMED, "")
        own = next((one for one in analyses if one["release"] in named and one["outcome"] != "superseded"), None)
        if own is None or float(own["started"]) > bake.promoted:
            over = self.clock() - bake.promoted > _OPENS
            if over:
                self.store.save(seen, baked(track))
        elif says_rollback(own):
            track, end = bake_failed(track, t=self.clock())
            self.store.save(seen, track, [end] if end else [])
            if end:
                self._tell(seen, end)
        elif own["status"] == "closed":
            self.store.save(seen, baked(track))

    def _hurry(self, seen: Seen, track: Track, analyses: list[Analysis]) -> None:
        """Approve the analysis of the canary that goes back. A push meanwhile opens another, which is judged."""
        attempt, token = track.open, self.options.judge_token
        own = next((one for one in analyses if one["status"] == "open"), None)
        if token is None or attempt is None or own is None or own["override"]:
            return
        if float(own["started"]) < attempt.started - 1.0 or own["release"] not in (str(attempt.release), UNNAMED, ""):
            return
        why = f"{attempt.release} served before {attempt.primary}, which failed in its bake time"
        try:
            client.override(
                self.judge.url, int(own["id"]), "approve", why=why, who=_WHO, token=client.secret(token, environ={})
            )
        except CoalmineError as error:
            _log.warning("the judge was not told", canary=seen.key, error=str(error))


def _goes_back(track: Track) -> bool:
    return track.open is not None and track.open.kind is Kind.RETURN
