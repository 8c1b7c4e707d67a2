"""The driver: asks what the machine asks, saves what it says, and makes edge and arms agree with the state.

Level-triggered: the state says what split and which tenants there must be (`state.split_of`, `state.tenants_of`) and
every tick puts that in force again, so a process killed at any line goes on at the next start where it was. The
order on disk and at the edge: a step that takes traffic from the canary is put in force first and saved then, so that
neither a full disk nor a slow one delays a rollback; every other step is saved first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from coalmine.errors import CoalmineError
from coalmine.records import Ending, Phase, ReleaseId, Slot, Split
from coalmine.rollout.canary import Canary
from coalmine.rollout.machine import advance
from coalmine.rollout.state import (
    Answer,
    ArmStatus,
    Ask,
    Event,
    Facts,
    Health,
    Spec,
    State,
    Step,
    Target,
    split_of,
    tenants_of,
)
from coalmine.rollout.store import Saved

WATCH_SECONDS = 0.5  # how often `rollback` is asked, whatever the interval: traffic is back within 1 s of a verdict
_FREE = ArmStatus(Health.NOT_READY, "nothing runs in this slot")


class Edge(Protocol):
    def apply(self, split: Split) -> None:
        """Put the split in force before returning; the same split again changes nothing."""


class Arms(Protocol):
    """A slot's process. None of these waits for a process to come up or go down."""

    def ensure(self, slot: Slot, release: ReleaseId, faults: str) -> None:
        """See that the slot runs this: start it, replace another tenant, restart it after a crash (with pauses)."""

    def ready(self, slot: Slot) -> ArmStatus:
        """Of the tenant that `ensure` named last: NOT_READY while the one before it still answers on the port."""

    def stop(self, slot: Slot) -> None:
        """See that the slot is empty."""


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""


class Caller(Protocol):
    def ask(self, ask: Ask, canary: Canary) -> Answer:
        """Call a webhook or query a metric; every failure is an answer."""

    def tell(self, event: Event, canary: Canary, *, phase: Phase | None, checksum: str) -> bool:
        """Send a note to the event hooks; False if one cannot be reached."""


class Store(Protocol):
    def load(self, model: str) -> Saved | None:
        """What was saved last."""

    def save(self, model: str, saved: Saved, *, events: Sequence[Event] = (), ending: Ending | None = None) -> None:
        """All of it in one transaction."""


@dataclass(frozen=True, slots=True)
class Status:
    """What `coalmine status` shows. `slots` says what each slot runs and how it is; seconds are Unix or durations."""

    model: str
    phase: str
    since: float
    attempt: int
    commit: str
    weight: int  # Flagger's logical weight; `split` is what the edge does
    failed_checks: int
    threshold: int
    waiting_for: str
    verdict: str
    primary: str
    canary: str
    slots: dict[str, dict[str, str]]
    split: dict[str, Any]
    bake_left: float
    judge_silent: float
    queued: str  # a push that waits for the bake, or for the promotion under way


class Rollout:
    """One model's rollout on this machine. One thread calls `tick` a few times a second; most calls do little.

    `drain_seconds`: how long requests may be in flight, so above the edge's time-out.
    """

    def __init__(
        self, model: str, *, store: Store, edge: Edge, arms: Arms, clock: Clock, caller: Caller, drain_seconds: float
    ) -> None:
        self._model = model
        self._store, self._edge, self._arms, self._clock, self._caller = store, edge, arms, clock, caller
        self._drain = drain_seconds
        self._saved = store.load(model)
        self._in_force: Split | None = None
        self._ahead: Split | None = None  # in force, but not saved yet: stays in force until it is
        self._health: dict[Slot, ArmStatus] = {}
        self._trouble: dict[Slot, str] = {}
        self._next_due = self._next_watch = 0.0
        self._seen: Target | None = None

    @property
    def state(self) -> State:
        return self._saved.state if self._saved else State()

    def tick(self, target: Target | None) -> Status | None:
        """Advance as far as this moment allows. `target` is what main names now; None if it names no release.

        Returns None before the first push. Raises what the store or the edge raise: nothing is lost, call it again.
        """
        self._adopt(target)
        if self._saved is None:
            return None
        trouble: OSError | CoalmineError | None = None
        try:
            self._put_in_force(self.state)
        except (OSError, CoalmineError) as error:
            trouble = error  # the edge is not where it should be: take no step, but hear whether to go back
        due, watch = self._due()
        if due or watch or target != self._seen:
            self._advance(target, due=due and trouble is None)
            if self.state.farewell is not None:
                self._advance(target, due=False)
            self._seen = target
        if trouble is not None:
            raise trouble
        return self.status(target)

    def _adopt(self, target: Target | None) -> None:
        """Flagger reads the Canary afresh on every tick; so a mended one is in force at once."""
        if target is None:
            return
        if self._saved is None:
            self._saved = Saved(State(), target.canary, target.terms)
        elif (self._saved.canary, self._saved.terms) != (target.canary, target.terms):
            self._saved = replace(self._saved, canary=target.canary, terms=target.terms)

    def _due(self) -> tuple[bool, bool]:
        """Is it time for a tick, and for asking whether to go back: at a fixed rate, catching up on nothing."""
        now = self._clock.now()
        interval = self._saved.canary.interval_seconds if self._saved else WATCH_SECONDS
        due, self._next_due = _rhythm(now, self._next_due, interval)
        watch, self._next_watch = _rhythm(now, self._next_watch, WATCH_SECONDS)
        return due, watch

    def _advance(self, target: Target | None, *, due: bool) -> None:
        saved = self._saved
        if saved is None:
            return
        step = self._answered(saved, target, due=due)
        before, after = split_of(saved.state), split_of(step.state)
        events = [replace(event, t=self._clock.now()) for event in step.events]
        if _takes_traffic_away(saved.state, step.state):
            self._ahead = after
            self._apply(after)
            events.append(Event("traffic_back", weight=0, attempt=saved.state.attempt, t=self._clock.now()))
        if step.state != saved.state or events:
            new = replace(saved, state=step.state)
            self._store.save(self._model, new, events=events, ending=step.ending)
            self._saved = new
        self._ahead = None
        if after != before or tenants_of(step.state) != tenants_of(saved.state):
            self._put_in_force(step.state)
        self._tell(step)

    def _answered(self, saved: Saved, target: Target | None, *, due: bool) -> Step:
        state = saved.state
        self._health = {slot: self._look(slot, spec) for slot, spec in tenants_of(state).items()}
        facts = Facts(
            now=self._clock.now(),
            target=target,
            primary=self._health[state.primary_slot],
            canary=self._health[state.canary_slot],
            due=due,
            terms=saved.terms,
            drain_seconds=self._drain,
        )
        while True:
            said = advance(saved.canary, state, facts)
            if isinstance(said, Step):
                return said
            answer = self._caller.ask(said, saved.canary)
            facts = replace(facts, answers=(*facts.answers, answer))

    def _look(self, slot: Slot, spec: Spec | None) -> ArmStatus:
        if spec is None:
            return _FREE
        if slot in self._trouble:
            return ArmStatus(Health.CRASHED, self._trouble[slot])
        return self._arms.ready(slot)

    def _put_in_force(self, state: State) -> None:
        self._apply(self._ahead or split_of(state))
        for slot, spec in tenants_of(state).items():
            self._trouble.pop(slot, None)
            try:
                if spec is None:
                    self._arms.stop(slot)
                else:
                    self._arms.ensure(slot, spec.release, spec.faults)
            except (OSError, CoalmineError) as error:
                self._trouble[slot] = str(error)  # an arm that cannot be started is one that never becomes ready

    def _apply(self, split: Split) -> None:
        if split != self._in_force:
            self._edge.apply(split)
            self._in_force = split

    def _tell(self, step: Step) -> None:
        """Last, and not to a judge that does not answer: a note must not hold up the next tick."""
        saved = self._saved
        if saved is None or step.state.silent_since is not None:
            return
        for event in step.events:
            known = event.kind in {"note", "warning"}
            if known and not self._caller.tell(
                event, saved.canary, phase=step.state.phase, checksum=step.state.checksum
            ):
                return

    def status(self, target: Target | None = None) -> Status:
        """What there is to see now; the arms as the last tick found them."""
        state, now = self.state, self._clock.now()
        tenants = tenants_of(state)
        split = split_of(state)
        slots = {}
        for slot, spec in tenants.items():
            arm = self._health.get(slot, _FREE)
            slots[str(slot)] = {
                "release": str(spec.release) if spec else "",
                "faults": spec.faults if spec else "",
                "role": _role(state, slot),
                "health": arm.health if spec else "",
                "why": arm.why if spec else "",
            }
        queued = target is not None and target.spec not in (state.candidate, state.primary, state.applied)
        return Status(
            model=self._model,
            phase=str(state.phase or ""),
            since=state.since,
            attempt=state.attempt,
            commit=state.commit,
            weight=state.weight,
            failed_checks=state.failed_checks,
            threshold=self._saved.canary.threshold if self._saved else 0,
            waiting_for=state.waiting_for,
            verdict=state.verdict,
            primary=str(state.primary.release) if state.primary else "",
            canary=str(state.candidate.release) if state.candidate else "",
            slots=slots,
            split={"epoch": split.epoch, "primary_slot": str(split.primary_slot), "weight": split.weight},
            bake_left=max(0.0, state.bake_until - now) if state.bake_until is not None else 0.0,
            judge_silent=max(0.0, now - state.silent_since) if state.silent_since is not None else 0.0,
            queued=str(target.spec.release) if target is not None and queued else "",
        )


def _rhythm(now: float, planned: float, every: float) -> tuple[bool, float]:
    """Is it time, and when is it next. A clock set back, or a shorter interval, does not wait for the old time."""
    if planned - every <= now < planned:
        return False, planned
    return True, max(planned + every, now + every / 2) if planned <= now else now + every


def _takes_traffic_away(before: State, after: State) -> bool:
    old, new = split_of(before), split_of(after)
    promoted = after.phase in (Phase.PROMOTING, Phase.FINALISING, Phase.SUCCEEDED)
    return not promoted and (new.weight < old.weight or (before.baking and new.primary_slot is not old.primary_slot))


def _role(state: State, slot: Slot) -> str:
    if slot is state.primary_slot:
        return "primary" if state.primary else "first release"
    if state.leaving is not None:
        return "draining"
    return "warm" if state.previous is not None else "canary" if state.candidate is not None else ""
