"""What the rollout machine knows, is told, asks and answers: frozen and plain, so that it can be saved and replayed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from coalmine.records import Ending, Phase, ReleaseId, Slot, Split
from coalmine.rollout.canary import Canary
from coalmine.rollout.schema import Metric, Webhook


@dataclass(frozen=True, slots=True)
class Spec:
    """What an arm runs. Flagger compares pod templates; this is all that a pod template is here."""

    release: ReleaseId
    faults: str = ""

    @property
    def hash(self) -> str:
        """Stable over processes and machines."""
        return hashlib.sha256(f"{self.release}\n{self.faults}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the policy says to the rollout, in seconds."""

    bake_seconds: float = 60.0
    silence_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Target:
    """What main names now. `pushed` is when that commit was accepted, in Unix seconds."""

    spec: Spec
    commit: str
    pushed: float
    canary: Canary
    terms: Terms = Terms()


class Health(StrEnum):
    READY = "ready"
    NOT_READY = "not ready"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class ArmStatus:
    """One slot's process. `why` is for people: "loading the model", "exit status 1: no such file"."""

    health: Health
    why: str = ""

    @property
    def ready(self) -> bool:
        return self.health is Health.READY


READY = ArmStatus(Health.READY)


class Said(StrEnum):
    YES = "yes"
    NO = "no"
    NO_DATA = "no data"  # a metric without a value: a failed check, and never a number
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True)
class Answer:
    said: Said
    text: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question to the outside: call the hook or query the metric, then call `advance` again with the answer added."""

    what: Webhook | Metric
    phase: Phase
    checksum: str

    @property
    def kind(self) -> str:
        return (self.what.type or "rollout") if isinstance(self.what, Webhook) else "metric"


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the record: push_seen, arm_started, ready, weight, verdict, traffic_back, phase, note or warning."""

    kind: str
    text: str = ""
    weight: int | None = None
    attempt: int = 0
    t: float = 0.0  # written by the driver: when it happened, in Unix seconds


@dataclass(frozen=True, slots=True)
class State:
    """One model's rollout. The first group is Flagger's status, the second the two slots, the third the attempt.

    `weight` is Flagger's logical one: 0, the steps, the largest; then the primary is replaced and it goes back to 0.
    `candidate` runs in the other slot (in the primary slot while Initializing), `previous` is the old primary that
    stays warm there through the bake, `leaving` finishes its requests there until `leave_at`.
    """

    phase: Phase | None = None
    weight: int = 0
    failed_checks: int = 0
    applied: Spec | None = None

    primary_slot: Slot = Slot.BLUE
    primary: Spec | None = None
    candidate: Spec | None = None
    previous: Spec | None = None
    leaving: Spec | None = None
    leave_at: float = 0.0
    epoch: int = 0

    attempt: int = 0
    commit: str = ""
    started: float = 0.0
    since: float = 0.0  # of the phase
    arm_started: bool = False
    served: bool = False  # the candidate has had traffic
    was_ready: bool = False
    unready_since: float | None = None
    silent_since: float | None = None
    promoted: float = 0.0
    bake_until: float | None = None
    farewell: Phase | None = None  # the phase that the post-rollout hooks have still to be told
    verdict: str = ""
    waiting_for: str = ""

    @property
    def checksum(self) -> str:
        """Flagger's: of the spec last applied, so a confirm-rollout hook still sees the one before."""
        return self.applied.hash if self.applied else ""

    @property
    def baking(self) -> bool:
        return self.bake_until is not None

    @property
    def active(self) -> bool:
        """An attempt is open and its ending not yet written."""
        return self.phase is not None and (not self.phase.terminal or self.baking)

    @property
    def canary_slot(self) -> Slot:
        return self.primary_slot.other


@dataclass(frozen=True, slots=True)
class Facts:
    """The outside at one moment. `due`: the Canary's interval has passed; `answers`: in the order of the questions."""

    now: float
    target: Target | None
    primary: ArmStatus
    canary: ArmStatus
    due: bool
    terms: Terms = Terms()
    drain_seconds: float = 11.0
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """The next state, what to record, what to tell the event hooks, and the attempt's ending where there is one."""

    state: State
    events: tuple[Event, ...] = ()
    ending: Ending | None = None


def split_of(state: State) -> Split:
    """What the edge must do in this state. Once promoted, a release has all traffic whatever the logical weight."""
    on_trial = state.phase in (Phase.PROGRESSING, Phase.WAITING_PROMOTION) and state.candidate is not None
    here = state.leaving is None and on_trial
    return Split(
        epoch=state.epoch,
        primary_slot=state.primary_slot,
        primary=state.primary.release if state.primary else None,
        canary=state.candidate.release if state.candidate and here else None,
        weight=state.weight if here else 0,
    )


def tenants_of(state: State) -> dict[Slot, Spec | None]:
    """What each slot must run in this state; None means that it is free."""
    other = state.leaving or state.previous
    if state.phase is Phase.INITIALIZING:
        return {state.primary_slot: state.candidate, state.canary_slot: other}
    if state.phase in (Phase.PROGRESSING, Phase.WAITING_PROMOTION):
        other = state.leaving or state.candidate
    return {state.primary_slot: state.primary, state.canary_slot: other}
