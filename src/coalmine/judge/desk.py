"""Where analyses are opened, finished and overridden: the effects around the pure parts. The intake feeds them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import structlog

from coalmine.errors import BadInput, Refused
from coalmine.judge.counting import Counting
from coalmine.judge.intake import Intake
from coalmine.judge.live import Live
from coalmine.judge.mirror import revive
from coalmine.judge.overrides import Action, in_force, refusal, rolled_back
from coalmine.judge.policy import Policy, read_policy
from coalmine.judge.sources import Position
from coalmine.judge.store import Said

_KEPT = 64  # closed analyses kept in memory for whoever looks at the history
_log = structlog.get_logger("coalmine.judge")


class Desk(Intake):
    """All attempts of one judge. Every method is safe to call from several threads."""

    def live(self, namespace: str, name: str) -> Live | None:
        return self._live.get((namespace, name))

    def find(self, number: int) -> Live | None:
        """Any analysis, closed ones revived from their polls. None: no such number."""
        with self._lock:
            running = next((live for live in self._live.values() if live.row.id == number), None)
            found = running or self._closed.get(number)
        if found is not None:
            return found
        row = self.store.analysis(number)
        if row is None:
            return None
        found = revive(self.store, row)  # without the lock: no hook waits for whoever looks at the past
        if row.status == "closed":
            with self._lock:
                if len(self._closed) >= _KEPT:
                    self._closed.pop(next(iter(self._closed)))
                self._closed[number] = found
        return found

    def everything(self) -> list[Live]:
        with self._lock:
            return list(self._live.values())

    def ensure(self, namespace: str, name: str, checksum: str, *, hint: str = "", again: bool = False) -> Live:
        """The running attempt of this key, or a new one. `again`: the caller begins a rollout.

        Raises BadInput where the Canary's policy file is broken; nothing is opened then.
        """
        with self._lock:
            live = self.live(namespace, name)
            if live is not None and live.row.checksum == checksum and not live.baking:
                taken_back = rolled_back(live) and live.counting.weight == 0
                if not (again and taken_back):
                    return live
            return self._open(namespace, name, checksum, hint=hint)

    def _open(self, namespace: str, name: str, checksum: str, *, hint: str) -> Live:
        policy_text, policy = self.policy(namespace, name)
        before = self.live(namespace, name)
        if before is not None:
            ended_as = "rolled_back" if rolled_back(before) else "promoted" if before.baking else "superseded"
            self._close(before, ended_as, self.clock())
        edge = self._positions.get("edge")
        weight = None if edge is None else int(edge["weight"])
        after = self._last_epoch(namespace, name)
        back, canary = self._back(namespace, name), f"{namespace}/{name}"
        counting = Counting(hint=hint, after_epoch=after, weight=weight, canary=canary, back=back)
        row = self.store.open(
            namespace, name, checksum, opened=self.clock(), policy=policy_text, counting=json.dumps(counting.dump())
        )
        live = self._live[namespace, name] = Live(row, policy, counting)
        self._watch(live)
        _log.info("opened", analysis=row.id, namespace=namespace, name=name, attempt=row.attempt)
        return live

    def policy(self, namespace: str, name: str) -> tuple[str, Policy]:
        """Text and policy as they are now. The text is kept with an analysis: what comes later changes nothing that
        runs. Raises BadInput where the file is broken.
        """
        path = None if self._policies is None else self._policies / f"{namespace}.{name}.yaml"
        text, policy = read_policy("" if path is None or not path.exists() else path)
        self._readers.of(namespace, name, policy)  # a query that cannot work is found before the rollout
        return text, policy

    def running_policy(self, namespace: str, name: str) -> Policy | None:
        """That of the running analysis; None where there is none."""
        live = self.live(namespace, name)
        return None if live is None else live.policy

    def _last_epoch(self, namespace: str, name: str) -> int:
        """Lines up to this epoch belong to the attempt before; one that another canary ended has met the next epoch."""
        rows = self.store.analyses(namespace=namespace, name=name, limit=1)
        if not rows:
            return 0
        counting = Counting.load(json.loads(rows[0].counting))
        return counting.epoch - counting.has_ended()

    def gone_back(self, namespace: str, name: str) -> Live | None:
        """The attempt that follows one that a revert ended: no other hook opens it before Flagger wants its metrics."""
        with self._lock:
            last = next(iter(self.store.analyses(namespace=namespace, name=name, limit=1)), None)
            counting = None if last is None else Counting.load(json.loads(last.counting))
            if last is None or counting is None or counting.superseded not in counting.baseline:
                return None
            return self.ensure(namespace, name, last.checksum)

    def _back(self, namespace: str, name: str) -> str:
        """The primary's release, where main went back to it during the canary before; empty otherwise.

        Flagger analyses it under the checksum of what was taken back, and then once more under its own.
        """
        rows = self.store.analyses(namespace=namespace, name=name, limit=2)
        known = [Counting.load(json.loads(row.counting)) for row in rows]
        for newest, counting in enumerate(known):
            if counting.superseded and counting.superseded in counting.baseline:
                return counting.superseded if not newest or known[0].back == counting.superseded else ""
        return ""

    def finish(self, live: Live, *, succeeded: bool) -> None:
        """The rollout says that it ended: a promotion bakes on, anything else closes."""
        with self._lock:
            now = self.clock()
            edge: Position = {"epoch": live.counting.epoch + 1, "weight": 0}  # known without waiting for a request
            self._positions["edge"] = edge
            self.store.commit({"edge": edge})
            if live.counting.alike:
                self._close(live, "superseded", now)
            elif not succeeded:
                # Without our verdict it ended for a reason of its own: a revert, a deadline, failed checks.
                self._close(live, "rolled_back" if rolled_back(live) else "stopped", now)
            elif live.row.status == "open":
                values = {"status": "baking", "outcome": "promoted", "ended": now}
                self.store.update(live.row.id, **values, final=json.dumps(asdict(live.verdict(live.moment(now)))))
                live.row = replace(live.row, status="baking", outcome="promoted", ended=now)
                self._bake_unnamed(live, now)

    def _bake_unnamed(self, live: Live, now: float) -> None:
        """Counters without a release cannot show that the primary is now what was the canary: the caller's word does.

        Nothing in it can promote or spare a release: it only lets the primary's outcomes count against the new one.
        """
        if live.counting.assumed and live.counting.baking is None:
            live.counting.baking = now
            self.store.update(live.row.id, counting=json.dumps(live.counting.dump()))

    def override(self, number: int, action: Action, *, who: str, why: str) -> Said:
        """A person's word, on disk before it counts. Raises Refused where it cannot be said now."""
        with self._lock:
            live = self.find(number)
            if live is None:
                raise BadInput(f"there is no analysis {number}")
            if reason := refusal(live, action):
                raise Refused(reason)
            said = Said(number, self.clock(), action, who, why)
            self.store.override(said)
            live.override = in_force([said])
        _log.warning("override", analysis=number, action=action, who=who, why=why)
        return said

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
