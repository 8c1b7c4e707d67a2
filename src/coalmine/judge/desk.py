"""Where analyses are opened, fed and closed: the effects around the pure parts.

One log belongs to one edge, so its lines are offered to every open analysis; each knows its canary by release.
Every method is safe to call from several threads.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog

from coalmine.judge.counting import Counting
from coalmine.judge.live import Live
from coalmine.judge.policy import Policy, load_policy
from coalmine.judge.sources import Batch, Label, Line, Position, Source
from coalmine.judge.store import Counted, Row, Store
from coalmine.records import Poll

_ROUNDS = 8  # batches in one pass: a long backlog is read in turns with the hooks
_KEPT = 64  # closed analyses kept in memory for whoever looks at the history
Key = tuple[str, str]
_log = structlog.get_logger("coalmine.judge")


@dataclass(slots=True)
class Tally:
    """What the judge says of itself at /metrics."""

    lines: int = 0
    votes: int = 0
    skipped: int = 0
    polls: int = 0
    failures: int = 0
    pass_seconds: float = 0.0
    last_pass: float = 0.0


class Desk:
    """All analyses of one judge. `clock` is Unix seconds."""

    def __init__(
        self,
        store: Store,
        log: Source[Line],
        *,
        votes: Source[Label],
        policies: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store, self.clock, self.tally = store, clock, Tally()
        self._log, self._votes, self._policies = log, votes, policies
        self._lock = threading.RLock()
        self._live: dict[Key, Live] = {}
        self._positions: dict[str, Position | None] = {}
        self._stale = False
        self._closed: dict[int, Live] = {}
        self._noted: dict[tuple[str, str, str], tuple[int | None, str, int]] = {}
        self._load()

    def _load(self) -> None:
        """State is a fold over what is stored: this is all that a restart does."""
        positions = {"log": None, "votes": None, "edge": None, **self.store.positions()}
        found: dict[Key, Live] = {}
        for row in self.store.analyses(limit=1000):
            if row.status != "closed" and (row.namespace, row.name) not in found:
                found[row.namespace, row.name] = self._revive(row)
        self._positions, self._live, self._stale = positions, found, False

    def _revive(self, row: Row) -> Live:
        policy = load_policy(row.policy)
        live = Live(row=row, policy=policy, counting=Counting.load(json.loads(row.counting)))
        live.feed(self.store.polls(row.id))
        return live

    # ---- a pass over the sources ----

    def tick(self) -> None:
        """Read what is new, cut polls, store them, fold them, close what is over."""
        begun = time.perf_counter()
        with self._lock:
            try:
                if self._stale:
                    self._load()
                for _ in range(_ROUNDS):
                    if not self._pass():
                        break
                self._close_finished()
            except Exception:
                self.tally.failures += 1
                self._stale = True  # what was counted but not stored is forgotten and read again
                raise
            self.tally.pass_seconds += time.perf_counter() - begun
            self.tally.last_pass = self.clock()

    def _pass(self) -> bool:
        lines, votes = self._log.read(self._positions["log"]), self._votes.read(self._positions["votes"])
        more = lines.more or votes.more
        positions = {"log": lines.position, "votes": votes.position, "edge": self._edge(lines.items)}
        cut = {key: self._count(live, lines, votes, more=more) for key, live in self._live.items()}
        if positions != self._positions or any(cut.values()):
            counted = [
                Counted(live.row.id, json.dumps(live.counting.dump()), tuple(cut[key]))
                for key, live in self._live.items()
            ]
            self.store.commit({name: place for name, place in positions.items() if place is not None}, counted)
        self._positions = positions
        for key, polls in cut.items():
            live = self._live[key]
            latched = live.state.latched
            live.feed(polls)
            if latched is None and live.state.latched is not None:
                _log.warning("rollback", analysis=live.row.id, reason=live.verdict(self.clock()).reason)
        self.tally.lines += len(lines.items)
        self.tally.votes += len(votes.items)
        self.tally.skipped += lines.skipped
        self.tally.polls += sum(map(len, cut.values()))
        return more

    def _edge(self, lines: Iterable[Line]) -> Position | None:
        """The newest split seen in the log, whether or not an analysis was open."""
        newest = max(lines, key=lambda line: line.epoch, default=None)
        known = self._positions.get("edge")
        if newest is None or (known is not None and newest.epoch < int(known["epoch"])):
            return known
        return {"epoch": newest.epoch, "weight": newest.weight}

    def _count(self, live: Live, lines: Batch[Line], votes: Batch[Label], *, more: bool) -> list[Poll]:
        polls = live.counting.lines(lines.items, live.policy)
        polls += live.counting.labels(votes.items, live.policy)
        return polls if more else polls + live.counting.idle(self.clock(), live.policy)

    def _close_finished(self) -> None:
        now = self.clock()
        for live in list(self._live.values()):
            since = live.counting.baking if live.counting.baking is not None else live.row.ended
            if live.counting.superseded:
                self._close(live, "superseded", now)
            elif live.baking and since is not None and (live.counting.over or now - since > live.policy.bake.seconds):
                self._close(live, live.row.outcome or "promoted", now)

    def _close(self, live: Live, outcome: str, now: float) -> None:
        verdict = live.verdict(live.moment(now))
        if verdict.decision == "ROLLBACK" and live.state.latched_in_bake:
            outcome = "rolled_back"
        final = json.dumps(asdict(verdict))
        ended = now if live.row.ended is None else live.row.ended
        self.store.update(live.row.id, status="closed", outcome=outcome, ended=ended, final=final)
        self._live.pop((live.row.namespace, live.row.name), None)
        _log.info("closed", analysis=live.row.id, outcome=outcome, decision=str(verdict.decision))

    # ---- attempts ----

    def live(self, namespace: str, name: str) -> Live | None:
        return self._live.get((namespace, name))

    def find(self, number: int) -> Live | None:
        """Any analysis, closed ones revived from their polls. None: no such number."""
        with self._lock:
            for live in self._live.values():
                if live.row.id == number:
                    return live
            if number not in self._closed:
                row = self.store.analysis(number)
                if row is None:
                    return None
                if len(self._closed) >= _KEPT:
                    self._closed.pop(next(iter(self._closed)))
                self._closed[number] = self._revive(row)
            return self._closed[number]

    def everything(self) -> list[Live]:
        return list(self._live.values())

    def ensure(self, namespace: str, name: str, checksum: str, *, hint: str = "", again: bool = False) -> Live:
        """The running attempt of this key, or a new one. `again`: the caller begins a rollout.

        Raises BadInput where the Canary's policy file is broken; nothing is opened then.
        """
        with self._lock:
            live = self.live(namespace, name)
            if live is not None and live.row.checksum == checksum and not live.baking:
                taken_back = live.state.latched is not None and live.counting.weight == 0
                if not (again and taken_back):
                    return live
            return self._open(namespace, name, checksum, hint=hint)

    def _open(self, namespace: str, name: str, checksum: str, *, hint: str) -> Live:
        policy_text, policy = self.policy(namespace, name)
        before = self.live(namespace, name)
        if before is not None:
            rolled = before.state.latched is not None
            ended_as = "rolled_back" if rolled else "promoted" if before.baking else "superseded"
            self._close(before, ended_as, self.clock())
        edge = self._positions.get("edge")
        weight = None if edge is None else int(edge["weight"])
        counting = Counting(hint=hint, after_epoch=self._last_epoch(namespace, name), weight=weight)
        row = self.store.open(
            namespace, name, checksum, opened=self.clock(), policy=policy_text, counting=json.dumps(counting.dump())
        )
        live = self._live[namespace, name] = Live(row, policy, counting)
        _log.info("opened", analysis=row.id, namespace=namespace, name=name, attempt=row.attempt)
        return live

    def policy(self, namespace: str, name: str) -> tuple[str, Policy]:
        """Text and policy as they are now. The text is kept with an analysis: what comes later changes nothing that
        runs. Raises BadInput where the file is broken.
        """
        path = None if self._policies is None else self._policies / f"{namespace}.{name}.yaml"
        if path is None or not path.exists():
            return "", load_policy("")
        policy = load_policy(path)
        return path.read_text(encoding="utf-8"), policy

    def _last_epoch(self, namespace: str, name: str) -> int:
        """Lines up to this epoch belong to the attempt before; one that ended SUPERSEDED has met the next epoch."""
        rows = self.store.analyses(namespace=namespace, name=name, limit=1)
        if not rows:
            return 0
        counting = json.loads(rows[0].counting)
        return int(counting["epoch"]) - bool(counting["superseded"])

    def finish(self, live: Live, *, succeeded: bool) -> None:
        """The rollout says that it ended: a promotion bakes on, anything else closes."""
        with self._lock:
            now = self.clock()
            edge: Position = {"epoch": live.counting.epoch + 1, "weight": 0}  # known without waiting for a request
            self._positions["edge"] = edge
            self.store.commit({"edge": edge})
            if not succeeded:
                # Without our verdict it ended for a reason of its own: a revert, a deadline, failed checks.
                self._close(live, "stopped" if live.state.latched is None else "rolled_back", now)
            elif live.row.status == "open":
                values = {"status": "baking", "outcome": "promoted", "ended": now}
                self.store.update(live.row.id, **values, final=json.dumps(asdict(live.verdict(live.moment(now)))))
                live.row = replace(live.row, status="baking", outcome="promoted", ended=now)

    def note(self, kind: str, namespace: str, name: str, *, answer: int, text: str) -> None:
        """Record a hook, but not each repetition: a rollback is asked for every second."""
        with self._lock:
            live = self.live(namespace, name)
            number = None if live is None else live.row.id
            said = (number, kind, answer)
            if kind != "event" and self._noted.get((namespace, name, kind)) == said:
                return
            self._noted[namespace, name, kind] = said
            self.store.record(kind, text, analysis=number, t=self.clock(), answer=answer)

    def grant(self, live: Live, weight: int) -> None:
        """Remember that the step beyond `weight` was earned, so that it is not earned twice unseen."""
        with self._lock:
            before = json.loads(live.row.granted)
            if str(weight) in before:
                return
            granted = {**before, str(weight): self.clock()}
            self.store.update(live.row.id, granted=json.dumps(granted))
            live.row = replace(live.row, granted=json.dumps(granted))
