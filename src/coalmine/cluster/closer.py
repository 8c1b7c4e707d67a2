"""`coalmine closer`: watches Canaries, and closes what ended. It holds no state that is not on its volume."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

import structlog

from coalmine.cluster.api import Api, Object
from coalmine.cluster.closing import Closing
from coalmine.cluster.lease import Lease
from coalmine.cluster.looking import Looking
from coalmine.cluster.options import Options
from coalmine.cluster.remote import Remote
from coalmine.cluster.serving import serve
from coalmine.cluster.store import ClosersStore, Told
from coalmine.cluster.tally import Tally
from coalmine.cluster.watching import Watching
from coalmine.cluster.witnesses import Judge
from coalmine.errors import BadInput, CoalmineError, Temporary
from coalmine.records import Ending

_log = structlog.get_logger("coalmine.closer")
_TICK = 0.5  # seconds between rounds of closings; those that wait have pauses of their own
_LONGEST = 60.0  # seconds of such a pause at most
_STALE = 3.0  # polls without a list after which it is not ready
_MIND = 1.0  # seconds between questions to the judge on what bakes or goes back
_RENEW = 4.0  # seconds between renewals of the lease


@dataclass(slots=True)
class Closer:
    """All parts, made from the options. `run` returns when `ended` is set."""

    options: Options
    api: Api = field(default_factory=Api)
    at: Callable[[str], None] = lambda _: None
    ended: threading.Event = field(default_factory=threading.Event)
    tally: Tally = field(default_factory=Tally)
    store: ClosersStore = field(init=False)
    looking: Looking = field(init=False)
    closing: Closing = field(init=False)
    lease: Lease | None = field(init=False, default=None)
    _changed: queue.SimpleQueue[Object] = field(default_factory=queue.SimpleQueue)
    _pauses: dict[tuple[str, int, str], tuple[float, float]] = field(default_factory=dict)
    _watches: list[Watching] = field(default_factory=list)

    def __post_init__(self) -> None:
        options = self.options
        options.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        main = Remote(options.git, options.clone, options.credentials)
        main.prepare()
        self.store, judge = ClosersStore(options.database), Judge(options.judge)
        self.closing = Closing(options, self.store, main, judge, self.api, at=self._passed)
        self.looking = Looking(options, self.api, self.store, judge, self.closing, self.tally)
        if options.lease:
            namespace, _, name = options.lease.partition("/")
            me = f"{socket.gethostname()}-{os.getpid()}"
            self.lease = Lease(self.api, namespace, name, me)

    @property
    def leads(self) -> bool:
        return self.lease is None or self.lease.held

    def once(self) -> list[Ending]:
        """List all Canaries, close what ended, and return what was closed. Raises Temporary where something waits."""
        if self.lease is not None and not self.lease.hold():
            raise Temporary("another closer has the lease", where=self.options.lease)
        for namespace in self.options.namespaces or ("",):
            for canary in self.api.canaries(namespace).items:
                self._look(canary)
        self.looking.mind()
        closed, waiting = [], []
        for told in self.store.open_ends():
            try:
                closed.append(self._close(told))
            except (CoalmineError, OSError) as error:
                waiting.append(str(error))
        if self.lease is not None:
            self.lease.release()
        if waiting:
            raise Temporary("; ".join(waiting))
        return closed

    def run(self) -> None:
        """Until `ended`: TERM and INT set it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        for namespace in self.options.namespaces or ("",):
            watch = Watching(
                self.api,
                namespace,
                poll=self.options.poll,
                tell=self._changed.put,
                tally=self.tally,
                ended=self.ended,
            )
            self._watches.append(watch)
            watch.start()
        threads = [threading.Thread(target=part, name=part.__name__, daemon=True) for part in (self._lead, self._ends)]
        for thread in threads:
            thread.start()
        with serve(self.options, self.ready, self.tally):
            _log.info("watching", namespaces=self.options.namespaces or "all", git=self.options.git)
            self._looks()
        for thread in threads:
            thread.join(timeout=90)  # a push may be under way
        if self.lease is not None:
            self.lease.release()

    def ready(self) -> str:
        """Why it is not ready; empty where it is. A standby is ready: it takes over by itself."""
        oldest = min((watch.listed for watch in self._watches), default=float("-inf"))
        if time.monotonic() - oldest < _STALE * self.options.poll + 10.0:
            return ""
        return next((watch.problem for watch in self._watches if watch.problem), "no list of Canaries yet")

    # ---- the threads ----

    def _looks(self) -> None:
        """Whatever changes a track is done in this one thread."""
        minded = float("-inf")
        while not self.ended.is_set():
            try:
                canary = self._changed.get(timeout=_TICK)
            except queue.Empty:
                canary = None
            try:
                if canary is not None and self.leads:
                    self._look(canary)
                if self.leads and time.monotonic() - minded > _MIND:
                    self.looking.mind()
                    minded = time.monotonic()
            except (CoalmineError, OSError) as error:
                _log.warning("a look failed; the next list makes it good", error=str(error))

    def _ends(self) -> None:
        while not self.ended.wait(_TICK):
            if not self.leads:
                continue
            try:
                for told in self.store.open_ends():
                    self._try(told)
            except (CoalmineError, OSError) as error:
                _log.error("the closer's state is out of reach", error=str(error))

    def _lead(self) -> None:
        while True:
            if self.lease is not None:
                try:
                    self.lease.hold()
                except BadInput as error:
                    _log.error("no lease", error=str(error))
            self.tally.leads.set(self.leads)
            if self.ended.wait(_RENEW):
                return

    # ---- steps ----

    def _look(self, canary: Object) -> None:
        try:
            self.looking.at(canary)
        except BadInput as error:
            _log.error("a Canary cannot be read", error=str(error))

    def _try(self, told: Told) -> None:
        """Close one that is due; one that waits is put off for longer each time, and holds up no other."""
        key = (told.key, told.end.attempt, str(told.end.outcome))
        pause, due = self._pauses.get(key, (0.0, 0.0))
        if time.monotonic() < due:
            return
        try:
            self._close(told)
            self._pauses.pop(key, None)
        except (CoalmineError, OSError) as error:
            pause = min(_LONGEST, max(1.0, 2 * pause))
            self._pauses[key] = (pause, time.monotonic() + pause)
            self.tally.tries.labels(told.namespace, told.name).inc()
            self.tally.waiting.labels(told.namespace, told.name).set(time.time() - told.told)
            _log.warning("closing is tried again", canary=told.key, attempt=told.end.attempt, error=str(error))

    def _close(self, told: Told) -> Ending:
        ending = self.closing.close(told)
        self.tally.closed.labels(told.namespace, told.name, ending.outcome).inc()
        self.tally.waiting.labels(told.namespace, told.name).set(0)
        words = {"attempt": ending.attempt, "release": str(ending.release), "outcome": str(ending.outcome)}
        _log.info("closed", canary=told.key, why=ending.reason, **words)
        return ending

    def _passed(self, point: str) -> None:
        """Between two steps: one that lost its lease stops here, with what is done on record."""
        self.at(point)
        if not self.leads:
            raise Temporary("the lease was lost", where=self.options.lease)

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self.ended.set()
