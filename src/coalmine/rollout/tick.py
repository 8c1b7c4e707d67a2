"""One moment's working copy of the rollout's state, and the small moves that `machine` puts together. No I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from coalmine.records import Ending, Outcome, Phase
from coalmine.rollout.canary import Canary
from coalmine.rollout.schema import Metric, Webhook
from coalmine.rollout.state import Answer, Ask, Event, Facts, Said, Spec, State, Step, Target, split_of

ON_TRIAL = (Phase.PROGRESSING, Phase.WAITING_PROMOTION)


class Tick:
    """Lives inside one call of `advance` and nowhere else, so that `advance` stays a function of its arguments."""

    def __init__(self, canary: Canary, state: State, facts: Facts) -> None:
        self.canary = canary
        self.before = state
        self.state = state
        self.facts = facts
        self.events: list[Event] = []
        self.ending: Ending | None = None

    def step(self) -> Step:
        """What came of this moment. The epoch grows by one where the edge has something to change."""
        state = self.state
        starting = state.phase is Phase.INITIALIZING or (state.phase in ON_TRIAL and state.leaving is None)
        if starting and state.candidate is not None and not state.arm_started:
            self.change(arm_started=True)
            self.note(str(state.candidate.release), kind="arm_started")
        if replace(split_of(self.state), epoch=0) != replace(split_of(self.before), epoch=0):
            self.change(epoch=self.before.epoch + 1)
        return Step(self.state, tuple(self.events), self.ending)

    def heard(self, ask: Ask, answer: Answer) -> None:
        """Silence is counted from the first call that nobody answered."""
        if answer.said is not Said.UNREACHABLE:
            self.change(silent_since=None)
        elif self.state.silent_since is None:
            self.change(silent_since=self.facts.now)
            self.note(f"{ask.kind} {ask.what.name} cannot be reached, holding: {answer.text}", kind="warning")

    def change(self, **fields: Any) -> None:
        self.state = replace(self.state, **fields)

    def phase(self, phase: Phase) -> None:
        if phase is not self.state.phase:
            self.change(phase=phase, since=self.facts.now)
            self.note(phase, kind="phase")

    def weight(self, weight: int) -> None:
        """Flagger's logical weight; nothing is recorded where it stays."""
        if weight != self.state.weight:
            self.change(weight=weight, served=self.state.served or weight > 0)
            self.note(kind="weight", weight=weight)

    def note(self, text: str = "", *, kind: str = "note", weight: int | None = None) -> None:
        self.events.append(Event(kind, str(text), weight, self.state.attempt))

    def ask(self, what: Webhook | Metric, phase: Phase) -> Ask:
        return Ask(what, phase, self.state.checksum)

    def wait(self, what: Webhook | Metric, answer: Answer) -> None:
        self.change(waiting_for=f"{what.name}: {answer.text.strip() or answer.said}")

    def open(self, target: Target, phase: Phase) -> None:
        """A new attempt, or the one that was waiting goes on."""
        if not (self.state.phase is Phase.WAITING and self.state.candidate == target.spec):
            self.change(attempt=self.state.attempt + 1, commit=target.commit, started=target.pushed)
            self.note(str(target.spec.release), kind="push_seen")
        self.change(candidate=target.spec, weight=0, failed_checks=0, served=False, verdict="", waiting_for="")
        self.change(arm_started=False, was_ready=False, unready_since=self.facts.now)
        if phase is not Phase.WAITING:
            self.change(applied=target.spec)
        self.phase(phase)

    def close(self, spec: Spec | None, outcome: Outcome, reason: str, *, baked: bool = False) -> None:
        """Write the attempt's one ending. Called when the state says already what is primary after it."""
        state = self.state
        if spec is None:
            return
        primary = state.primary.release if state.primary else None
        self.ending = Ending(
            model=self.canary.name,
            attempt=state.attempt,
            release=spec.release,
            primary=primary,
            outcome=outcome,
            reason=reason,
            commit=state.commit,
            started=state.started,
            ended=self.facts.now,
            baked=baked,
        )

    def leave(self, spec: Spec | None, *, last_traffic: float) -> None:
        """Its requests in flight may end before the slot is free."""
        self.change(previous=None)
        if spec is not None:
            self.change(leaving=spec, leave_at=last_traffic + self.facts.drain_seconds)
            self.free_slot()

    def leave_trial(self, spec: Spec | None) -> None:
        """The candidate goes; where it never had any traffic, its slot is free at once."""
        if self.state.served:
            self.leave(spec, last_traffic=self.facts.now)

    def free_slot(self) -> None:
        if self.state.leaving is not None and self.facts.now >= self.state.leave_at:
            self.change(leaving=None, unready_since=self.facts.now)

    def ready(self) -> None:
        self.change(unready_since=None)
        if not self.state.was_ready:
            self.change(was_ready=True)
            self.note(kind="ready")

    def overdue(self) -> bool:
        """The arm has been down for longer than progressDeadlineSeconds."""
        if self.state.unready_since is None:
            self.change(unready_since=self.facts.now)
        return self.facts.now - (self.state.unready_since or 0.0) >= self.canary.deadline_seconds

    def fail(self, reason: str, *, outcome: Outcome = Outcome.ROLLED_BACK) -> None:
        """Before a promotion: all traffic back to the primary, the attempt ends Failed."""
        spec = self.state.candidate
        self.weight(0)
        self.leave_trial(spec)
        self.change(candidate=None, failed_checks=0, farewell=Phase.FAILED, verdict=reason, waiting_for="")
        self.phase(Phase.FAILED)
        self._verdict(spec, outcome, reason)
        self.close(spec, outcome, reason)

    def promote(self, reason: str) -> None:
        """The canary's slot is the primary's from here on; the old arm stays where it is."""
        spec, old = self.state.candidate, self.state.primary
        self.change(primary=spec, primary_slot=self.state.canary_slot, previous=old, candidate=None)
        self.change(promoted=self.facts.now, verdict=reason, waiting_for="", unready_since=None)
        name, namespace = self.canary.name, self.canary.namespace
        self.note(f"Copying {name}.{namespace} template spec to {name}-primary.{namespace}")
        self._verdict(spec, Outcome.PROMOTED, reason)

    def succeed(self, *, bake_seconds: float) -> None:
        self.weight(0)
        self.change(farewell=Phase.SUCCEEDED)  # the failed checks stay in the count until the next attempt
        self.phase(Phase.SUCCEEDED)
        self.note(f"Promotion completed! Scaling down {self.canary.name}.{self.canary.namespace}")
        if bake_seconds > 0:
            self.change(bake_until=self.facts.now + bake_seconds)
        else:
            self.end_bake(baked=False)

    def end_bake(self, *, baked: bool) -> None:
        self.leave(self.state.previous, last_traffic=self.state.promoted)
        self.change(bake_until=None, waiting_for="")
        self.close(self.state.primary, Outcome.PROMOTED, self.state.verdict, baked=baked)

    def go_back(self, reason: str, *, outcome: Outcome = Outcome.ROLLED_BACK) -> None:
        """In the bake: the old arm, still warm, has all of the traffic again."""
        spec, old = self.state.primary, self.state.previous
        self.change(primary=old, primary_slot=self.state.canary_slot)
        self.leave(spec, last_traffic=self.facts.now)
        self.change(bake_until=None, farewell=Phase.FAILED, verdict=reason, waiting_for="", unready_since=None)
        self.phase(Phase.FAILED)
        self._verdict(spec, outcome, reason)
        self.close(spec, outcome, reason, baked=True)

    def _verdict(self, spec: Spec | None, outcome: Outcome, reason: str) -> None:
        name = spec.release if spec else "nothing"
        self.note(f"{outcome} {name}: {reason}", kind="verdict")
        if outcome is not Outcome.PROMOTED:
            self.note(
                f"Canary failed! Scaling down {self.canary.name}.{self.canary.namespace}: {reason}", kind="warning"
            )
