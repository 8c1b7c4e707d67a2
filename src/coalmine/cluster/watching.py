"""Which Canaries changed: one list and watch for each namespace, with a list now and then whatever the watch says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import structlog

from coalmine.cluster.api import Listed, Object
from coalmine.cluster.tally import Tally
from coalmine.errors import BadInput, CoalmineError

_log = structlog.get_logger("coalmine.closer")
_PAUSE = 1.0  # seconds after a list or watch that failed; the server has enough to do then


class Canaries(Protocol):
    """See api.Api."""

    def canaries(self, namespace: str = "") -> Listed: ...

    def watch(self, namespace: str, version: str, *, seconds: int) -> Iterator[tuple[str, Object]]: ...


class Watching(threading.Thread):
    """Follows one namespace (empty: all) and tells of each Canary as it changes, until `ended`.

    A watch lasts `poll` seconds, and each begins with a list: a lost event, an expired version (410) or a server that
    forgot the watch costs no more than that.
    """

    def __init__(
        self,
        api: Canaries,
        namespace: str,
        *,
        poll: float,
        tell: Callable[[Object], None],
        tally: Tally,
        ended: threading.Event,
    ) -> None:
        super().__init__(name=f"watch-{namespace or 'all'}", daemon=True)
        self._api, self._namespace, self._poll, self._tell = api, namespace, poll, tell
        self._tally, self._ended = tally, ended
        self.listed = float("-inf")  # on the steady clock: when a list last came
        self.problem = ""

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._round()
                self.problem = ""
            except CoalmineError as error:
                self._tally.broken.inc()
                if str(error) != self.problem:
                    told = _log.error if isinstance(error, BadInput) else _log.warning
                    told("watch broke", namespace=self._namespace or "all", error=str(error))
                self.problem = str(error)
                self._ended.wait(_PAUSE)

    def _round(self) -> None:
        found = self._api.canaries(self._namespace)
        self.listed = time.monotonic()
        self._tally.looked.set_to_current_time()
        for canary in found.items:
            self._tell(canary)
        for kind, canary in self._api.watch(self._namespace, found.version, seconds=max(1, round(self._poll))):
            if self._ended.is_set():
                return
            if kind in ("ADDED", "MODIFIED"):
                self._tell(canary)
