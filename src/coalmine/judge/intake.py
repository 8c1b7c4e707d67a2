"""What runs now, and the passes over the sources that feed it.

One log belongs to one edge, so its lines are offered to every open analysis; each knows its canary by release.
Counts from Prometheus or a push name their Canary. Of several replicas on one database one leads; the others only
read along. Sources are read without the lock that hooks wait for.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from coalmine.errors import BadInput
from coalmine.judge.lease import Lease, Standby
from coalmine.judge.live import Live
from coalmine.judge.mirror import Key, Mirror, revive, running
from coalmine.judge.readers import PROMETHEUS, Many, News, Positions, Readers
from coalmine.judge.sources import Line, Lines, Outcomes, Position
from coalmine.judge.store import Counted, Store
from coalmine.judge.tally import Tally
from coalmine.records import Decision, Poll

_ROUNDS = 8  # batches in one pass: a long backlog is read in turns with the hooks
_log = structlog.get_logger("coalmine.judge")


class Intake:
    """All running analyses of one judge. `clock` is Unix seconds. Every method is safe to call from several threads."""

    def __init__(
        self,
        store: Store,
        readers: Readers,
        *,
        lease: Lease,
        tally: Tally,
        policies: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store, self.clock, self.tally, self.lease = store, clock, tally, lease
        store.guard = lease.guard
        self._readers, self._policies = readers, policies
        self._passing = threading.Lock()  # one pass at a time; sources are read under this one alone
        self._lock = threading.RLock()  # the state below: never held while a source is read
        self._live: dict[Key, Live] = {}
        self._queries: Many = {}
        self._positions: Positions = {}
        self._mirror = Mirror(store)
        self._term = 0  # of the lease under which the state was loaded
        self._stale = True
        self._closed: dict[int, Live] = {}  # closed analyses that somebody looked at
        self._noted: dict[tuple[str, str, str], tuple[int | None, str, int]] = {}  # what each hook was last told

    @property
    def leads(self) -> bool:
        """Whether this replica decides: then what is in memory is what holds."""
        return not self._stale and self._term == self.lease.term and self.lease.held

    def begin(self) -> None:
        """Take the lease if it is free, and load what is stored. Raises SQLAlchemyError."""
        with self._lock:
            self._take_the_lead()

    # ---- a pass over the sources ----

    def tick(self, *, wait: float = -1) -> None:
        """Read what is new, cut polls, store them, fold them, close what is over. A standby reads along.

        `wait`: seconds for a pass that is under way; then go on with what is known. Raises what the database raises.
        """
        if not self._passing.acquire(timeout=wait):
            return
        try:
            with self.tally.pass_seconds.time():
                self._tick()
            self.tally.last_pass = self.clock()
        except Standby:
            self._stale = True
        except Exception:
            self.tally.failures.inc()
            self._stale = True  # what was counted but not stored is forgotten and read again
            raise
        finally:
            self._passing.release()

    def _tick(self) -> None:
        with self._lock:
            if not self._take_the_lead():
                self._mirror.follow(self._live)
                return
        for _ in range(_ROUNDS):
            if not self._pass():
                break
        with self._lock:
            self._close_finished()

    def _take_the_lead(self) -> bool:
        """Whether we decide. A new term begins with what is stored: what was in memory may be another's past."""
        leads = self.lease.hold()
        if leads and (self._stale or self._term != self.lease.term):
            self._load()
        elif not leads and (self._stale or self._term):
            self._live, self._queries, self._term, self._stale = {}, {}, 0, False
            self._mirror = Mirror(self.store)
        self.tally.leads.set(leads)
        self.tally.term.set(self.lease.term)
        return leads

    def _load(self) -> None:
        """State is a fold over what is stored: this is all that a restart does."""
        positions: Positions = {"edge": None, **self.store.positions()}
        found = {key: revive(self.store, row) for key, row in running(self.store).items()}
        self._queries = {}
        for live in found.values():
            self._watch(live)
        self._positions, self._live, self._term, self._stale = positions, found, self.lease.term, False

    def _watch(self, live: Live) -> None:
        """Read Prometheus for it, if its policy says so; one that no longer can be read is no data."""
        try:
            source = self._readers.of(live.row.namespace, live.row.name, live.policy)
        except BadInput as error:
            _log.error("no reader", analysis=live.row.id, error=str(error))
            return
        if source is not None:
            self._queries[f"{PROMETHEUS}{live.row.id}"] = source

    def _pass(self) -> bool:
        with self._lock:
            positions, queries = dict(self._positions), dict(self._queries)
        news = self._readers.read(positions, queries)
        with self._lock:
            self._take_in(news)
        return news.more

    def _take_in(self, news: News) -> None:
        """Count, store, fold; in this order, so that nothing is believed that is not on disk."""
        positions = {**self._positions, **news.positions, "edge": self._edge(news.lines)}
        by_key: dict[Key, list[Outcomes]] = defaultdict(list)
        for outcomes in news.outcomes:
            by_key[outcomes.namespace, outcomes.name].append(outcomes)
        cut = {key: self._count(live, news, by_key.get(key, [])) for key, live in self._live.items()}
        for_all = len(news.lines) or len(news.labels)
        counted = [
            Counted(live.row.id, json.dumps(live.counting.dump()), tuple(cut[key]))
            for key, live in self._live.items()
            if for_all or cut[key] or key in by_key
        ]
        if positions != self._positions or counted:
            moved = {name: at for name, at in positions.items() if at is not None and at != self._positions.get(name)}
            self.store.commit(moved, counted)
        self._positions = positions
        self._fold(cut)
        self.tally.took(news, sum(map(len, cut.values())))

    def _fold(self, cut: dict[Key, list[Poll]]) -> None:
        for key, polls in cut.items():
            live = self._live[key]
            latched = live.state.latched
            live.feed(polls)
            if latched is None and live.state.latched is not None:
                _log.warning("rollback", analysis=live.row.id, reason=live.verdict(self.clock()).reason)

    def _edge(self, lines: Sequence[Line]) -> Position | None:
        """The newest split seen in the log, whether or not an analysis was open."""
        newest = (lines if isinstance(lines, Lines) else Lines.of(lines)).newest_edge()
        known = self._positions.get("edge")
        if newest is None or (known is not None and newest[0] < int(known["epoch"])):
            return known
        return {"epoch": newest[0], "weight": newest[1]}

    def _count(self, live: Live, news: News, outcomes: list[Outcomes]) -> list[Poll]:
        polls = live.counting.lines(news.lines, live.policy)
        polls += live.counting.labels(news.labels, live.policy)
        polls += live.counting.outcomes(outcomes, live.policy)
        polls += [] if news.more else live.counting.idle(self.clock(), live.policy)
        return [] if live.counting.alike else polls  # the same release in both arms: nothing is held against it

    def _close_finished(self) -> None:
        now = self.clock()
        for live in list(self._live.values()):
            since = live.promoted if live.promoted is not None else live.row.ended
            if live.counting.superseded or (live.counting.alike and live.counting.over):
                self._close(live, "superseded", now)
            elif live.baking and since is not None and (live.counting.over or now - since > live.policy.bake.seconds):
                self._close(live, live.row.outcome or "promoted", now)

    def _close(self, live: Live, outcome: str, now: float) -> None:
        verdict = live.verdict(live.moment(now))
        by_hand = live.override is not None and live.override.action == "rollback"
        if verdict.decision is Decision.ROLLBACK and (live.state.latched_in_bake or by_hand):
            outcome = "rolled_back"
        final = json.dumps(asdict(verdict))
        ended = now if live.row.ended is None else live.row.ended
        self.store.update(live.row.id, status="closed", outcome=outcome, ended=ended, final=final)
        self._live.pop((live.row.namespace, live.row.name), None)
        if self._queries.pop(name := f"{PROMETHEUS}{live.row.id}", None) is not None:
            self._positions.pop(name, None)
            self.store.forget(name)
        _log.info("closed", analysis=live.row.id, outcome=outcome, decision=str(verdict.decision))

    def close(self) -> None:
        """Give the lease up and leave the database; a pass under way may end first."""
        ended = self._passing.acquire(timeout=2)
        try:
            self.lease.release()
        except SQLAlchemyError as error:
            _log.warning("lease not given up", error=repr(error))
        finally:
            self.store.close()
            if ended:
                self._passing.release()
