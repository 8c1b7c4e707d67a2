"""The machine's truth table: one row, one state and what is seen and answered, against what must come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from coalmine.records import Outcome, Phase, ReleaseId, Slot
from coalmine.rollout.machine import advance
from coalmine.rollout.state import (
    READY,
    Answer,
    ArmStatus,
    Ask,
    Facts,
    Health,
    Said,
    Spec,
    State,
    Step,
    Target,
    Terms,
    split_of,
    tenants_of,
)

OLD, NEW, NEWER = (Spec(ReleaseId(version, "abcdef0")) for version in (1, 2, 3))
IDLE = State(phase=Phase.SUCCEEDED, primary=OLD, applied=OLD, attempt=1, epoch=5)
TRIAL = replace(
    IDLE,
    phase=Phase.PROGRESSING,
    candidate=NEW,
    applied=NEW,
    attempt=2,
    weight=10,
    served=True,
    was_ready=True,
    arm_started=True,
)
AT_0 = replace(TRIAL, weight=0, served=False)
AT_MAX = replace(TRIAL, weight=50)
ASKED = replace(AT_MAX, phase=Phase.WAITING_PROMOTION)
WAITING = replace(IDLE, phase=Phase.WAITING, candidate=NEW, attempt=2)
FIRST = State(phase=Phase.INITIALIZING, candidate=NEW, applied=NEW, attempt=1, unready_since=1000.0, arm_started=True)
NO_PRIMARY = State(phase=Phase.FAILED, applied=NEW, attempt=1)
PROMOTING = replace(
    AT_MAX, phase=Phase.PROMOTING, primary=NEW, primary_slot=Slot.GREEN, previous=OLD, candidate=None, promoted=995.0
)
FINALISING = replace(PROMOTING, phase=Phase.FINALISING, weight=0)
BAKING = replace(FINALISING, phase=Phase.SUCCEEDED, bake_until=1005.0, verdict="evidence")
FAILED = replace(IDLE, phase=Phase.FAILED, applied=NEW)

DOWN = ArmStatus(Health.NOT_READY, "loading")
DEAD = ArmStatus(Health.CRASHED, "exit status 1")
YES, NO, NONE, GONE = (Answer(said, said) for said in Said)

CONFIRM, PRE, MORE, PROMOTE, BACK, POST = (
    "confirm-rollout",
    "pre-rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
    "rollback",
    "post-rollout",
)


@dataclass(frozen=True)
class Row:
    """`answers` by hook kind, NO where not named. The rest is what must come of it; None is not looked at."""

    state: State
    main: Spec | None = NEW
    answers: dict[str, Answer] = field(default_factory=dict)
    primary: ArmStatus = READY
    canary: ArmStatus = READY
    due: bool = True
    now: float = 1000.0
    analysis: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    # outcome
    phase: Phase | None = None
    weight: int | None = None
    edge: int = 0
    failed: int = 0
    asked: tuple[str, ...] = ()
    ending: Outcome | None = None
    primary_is: Spec | None = OLD
    attempt: int | None = None


S = Phase
ROWS = {
    # -- nothing to do
    "idle, main names the primary": Row(IDLE, main=OLD, phase=S.SUCCEEDED),
    "idle, main names no release": Row(IDLE, main=None, phase=S.SUCCEEDED),
    "nothing was ever pushed": Row(State(), main=None, primary_is=None),
    "failed, main still names the failed one": Row(FAILED, phase=S.FAILED),
    "failed, main was healed": Row(FAILED, main=OLD, phase=S.FAILED),
    # -- first release
    "the first push opens an attempt": Row(
        State(), phase=S.INITIALIZING, attempt=1, primary_is=None, primary=DOWN, canary=DOWN
    ),
    "the first arm still loads": Row(FIRST, primary=DOWN, phase=S.INITIALIZING, primary_is=None),
    "the first arm is ready": Row(FIRST, phase=S.INITIALIZED, ending=Outcome.FIRST_RELEASE, primary_is=NEW),
    "the first arm crashed, within the deadline": Row(
        FIRST, primary=DEAD, now=1029, phase=S.INITIALIZING, primary_is=None
    ),
    "the first arm outlives its deadline": Row(
        FIRST, primary=DEAD, now=1030, phase=S.FAILED, ending=Outcome.ROLLED_BACK, primary_is=None
    ),
    "another push before the first is ready": Row(
        FIRST, main=NEWER, phase=S.INITIALIZING, ending=Outcome.SUPERSEDED, attempt=2, primary_is=None
    ),
    "a failed first release is not tried again by itself": Row(NO_PRIMARY, phase=S.FAILED, primary_is=None),
    "after a failed first release the next is a first release": Row(
        NO_PRIMARY, main=NEWER, phase=S.INITIALIZING, attempt=2, primary_is=None
    ),
    # -- confirm-rollout
    "a new release is let in": Row(IDLE, answers={CONFIRM: YES}, asked=(CONFIRM,), phase=S.PROGRESSING, attempt=2),
    "a new release has to wait": Row(IDLE, asked=(CONFIRM,), phase=S.WAITING, attempt=2),
    "nobody answers confirm-rollout": Row(IDLE, answers={CONFIRM: GONE}, asked=(CONFIRM,), phase=S.WAITING),
    "a new release between two ticks": Row(IDLE, due=False, phase=S.SUCCEEDED),
    "a new release while the primary is down": Row(IDLE, primary=DOWN, phase=S.SUCCEEDED),
    "after a failure another release comes": Row(
        FAILED, main=NEWER, answers={CONFIRM: YES}, asked=(CONFIRM,), phase=S.PROGRESSING, attempt=2
    ),
    "the one that waits is let in": Row(
        WAITING, answers={CONFIRM: YES}, asked=(CONFIRM,), phase=S.PROGRESSING, attempt=2
    ),
    "the one that waits goes on waiting": Row(WAITING, asked=(CONFIRM,), phase=S.WAITING, attempt=2),
    "another is pushed while one waits": Row(
        WAITING, main=NEWER, asked=(CONFIRM,), phase=S.WAITING, ending=Outcome.SUPERSEDED, attempt=3
    ),
    "a revert while one waits": Row(WAITING, main=OLD, phase=S.FAILED, ending=Outcome.SUPERSEDED),
    "nothing waits without the hook": Row(IDLE, analysis={"webhooks": []}, phase=S.PROGRESSING, attempt=2),
    # -- the trial
    "the canary loads": Row(AT_0, canary=DOWN, asked=(BACK,), phase=S.PROGRESSING, weight=0),
    "the canary crashed, within the deadline": Row(
        replace(AT_0, unready_since=971.0), canary=DEAD, asked=(BACK,), phase=S.PROGRESSING
    ),
    "the canary outlives its deadline": Row(
        replace(TRIAL, unready_since=970.0), canary=DEAD, asked=(BACK,), phase=S.FAILED, ending=Outcome.ROLLED_BACK
    ),
    "a canary that has just gone down has its deadline before it": Row(
        TRIAL, canary=DEAD, asked=(BACK,), phase=S.PROGRESSING, weight=10, edge=10
    ),
    "pre-rollout says no: a failed check": Row(AT_0, asked=(BACK, PRE), phase=S.PROGRESSING, failed=1, weight=0),
    "nobody answers pre-rollout: silence, no failed check": Row(
        AT_0, answers={PRE: GONE}, asked=(BACK, PRE), phase=S.PROGRESSING
    ),
    "the first step has to be earned": Row(
        AT_0, answers={PRE: YES}, asked=(BACK, PRE, MORE), phase=S.PROGRESSING, weight=0
    ),
    "the first step": Row(
        AT_0, answers={PRE: YES, MORE: YES}, asked=(BACK, PRE, MORE), phase=S.PROGRESSING, weight=10, edge=10
    ),
    "a later step": Row(TRIAL, answers={MORE: YES}, asked=(BACK, MORE), phase=S.PROGRESSING, weight=50, edge=50),
    "a later step is not earned: uncounted": Row(TRIAL, asked=(BACK, MORE), phase=S.PROGRESSING, weight=10, edge=10),
    "at the largest weight confirm-traffic-increase is asked too": Row(
        AT_MAX, asked=(BACK, MORE), phase=S.PROGRESSING, weight=50, edge=50
    ),
    "promotion has to wait": Row(
        AT_MAX, answers={MORE: YES}, asked=(BACK, MORE, PROMOTE), phase=S.WAITING_PROMOTION, weight=50, edge=50
    ),
    "promotion at once": Row(
        AT_MAX,
        answers={MORE: YES, PROMOTE: YES},
        asked=(BACK, MORE, PROMOTE),
        phase=S.PROMOTING,
        weight=50,
        primary_is=NEW,
    ),
    "waiting for promotion no step is asked for": Row(
        ASKED, answers={PROMOTE: YES}, asked=(BACK, PROMOTE), phase=S.PROMOTING, primary_is=NEW
    ),
    "a rollout hook says no: a failed check": Row(
        TRIAL,
        analysis={"webhooks": [{"name": "load", "url": "http://x/y"}]},
        asked=("rollout",),
        failed=1,
        weight=10,
        edge=10,
    ),
    "a metric out of range: a failed check": Row(
        TRIAL,
        analysis={"metrics": [{"name": "g", "templateRef": {"name": "gross"}, "thresholdRange": {"max": 0.5}}]},
        asked=(BACK, "metric"),
        failed=1,
        weight=10,
        edge=10,
    ),
    "a metric without a value: a failed check": Row(
        TRIAL,
        analysis={"metrics": [{"name": "g", "templateRef": {"name": "gross"}, "thresholdRange": {"max": 0.5}}]},
        answers={"metric": NONE},
        asked=(BACK, "metric"),
        failed=1,
        weight=10,
        edge=10,
    ),
    "a metric's provider is gone: silence": Row(
        TRIAL,
        analysis={"metrics": [{"name": "g", "templateRef": {"name": "gross"}, "thresholdRange": {"max": 0.5}}]},
        answers={"metric": GONE},
        asked=(BACK, "metric"),
        weight=10,
        edge=10,
    ),
    "metrics are not asked at weight 0": Row(
        AT_0,
        analysis={"metrics": [{"name": "g", "templateRef": {"name": "gross"}, "thresholdRange": {"max": 0.5}}]},
        answers={PRE: YES, MORE: YES},
        asked=(BACK, PRE, MORE),
        weight=10,
        edge=10,
    ),
    "failed checks reach the threshold": Row(
        replace(TRIAL, failed_checks=2), asked=(BACK,), phase=S.FAILED, weight=0, ending=Outcome.ROLLED_BACK
    ),
    "one failed check below the threshold": Row(
        replace(TRIAL, failed_checks=1), asked=(BACK, MORE), phase=S.PROGRESSING, failed=1, weight=10, edge=10
    ),
    "the threshold counts while waiting for promotion": Row(
        replace(ASKED, failed_checks=2), asked=(BACK,), phase=S.FAILED, ending=Outcome.ROLLED_BACK
    ),
    "rollback says yes": Row(
        TRIAL, answers={BACK: YES}, asked=(BACK,), phase=S.FAILED, weight=0, ending=Outcome.ROLLED_BACK
    ),
    "rollback says yes between two ticks": Row(
        TRIAL, answers={BACK: YES}, due=False, asked=(BACK,), phase=S.FAILED, weight=0, ending=Outcome.ROLLED_BACK
    ),
    "rollback says yes while the canary is down": Row(
        TRIAL, answers={BACK: YES}, canary=DEAD, asked=(BACK,), phase=S.FAILED, ending=Outcome.ROLLED_BACK
    ),
    "rollback says yes while waiting for promotion": Row(
        ASKED, answers={BACK: YES}, asked=(BACK,), phase=S.FAILED, ending=Outcome.ROLLED_BACK
    ),
    "rollback says no between two ticks": Row(TRIAL, due=False, asked=(BACK,), phase=S.PROGRESSING, weight=10, edge=10),
    "a primary that is down holds everything": Row(
        TRIAL, answers={BACK: YES}, primary=DEAD, phase=S.PROGRESSING, weight=10, edge=10
    ),
    "the judge is silent: hold": Row(
        TRIAL, answers={BACK: GONE}, asked=(BACK,), phase=S.PROGRESSING, weight=10, edge=10
    ),
    "the judge was silent for too long: weight 0": Row(
        replace(ASKED, silent_since=900.0), answers={BACK: GONE}, asked=(BACK,), phase=S.PROGRESSING, weight=0
    ),
    "a judge that answers again is asked as before": Row(
        replace(TRIAL, silent_since=900.0), asked=(BACK, MORE), phase=S.PROGRESSING, weight=10, edge=10
    ),
    "another release is pushed": Row(
        TRIAL, main=NEWER, phase=S.PROGRESSING, weight=0, ending=Outcome.SUPERSEDED, attempt=3
    ),
    "another release is pushed between two ticks": Row(
        ASKED, main=NEWER, due=False, phase=S.PROGRESSING, weight=0, ending=Outcome.SUPERSEDED, attempt=3
    ),
    "failed checks start again with another release": Row(
        replace(TRIAL, failed_checks=1), main=NEWER, phase=S.PROGRESSING, ending=Outcome.SUPERSEDED
    ),
    "the same release with other faults is another one": Row(
        TRIAL, main=replace(NEW, faults="delay_ms=9"), phase=S.PROGRESSING, ending=Outcome.SUPERSEDED, attempt=3
    ),
    "a revert to the primary": Row(TRIAL, main=OLD, phase=S.FAILED, weight=0, ending=Outcome.SUPERSEDED),
    "main names no release during a canary": Row(
        TRIAL, main=None, asked=(BACK, MORE), phase=S.PROGRESSING, weight=10, edge=10
    ),
    "the slot is still draining": Row(
        replace(AT_0, leaving=OLD, leave_at=1001.0), asked=(BACK,), phase=S.PROGRESSING, weight=0
    ),
    "in the moment that frees the slot nothing moves yet": Row(
        replace(AT_0, leaving=OLD, leave_at=1000.0), asked=(BACK,), phase=S.PROGRESSING, weight=0
    ),
    "suspended": Row(TRIAL, spec={"suspend": True}, answers={BACK: YES}, phase=S.PROGRESSING, weight=10, edge=10),
    "the analysis is skipped": Row(
        AT_0, spec={"skipAnalysis": True}, phase=S.SUCCEEDED, ending=Outcome.PROMOTED, primary_is=NEW
    ),
    "the analysis is skipped, the arm loads": Row(AT_0, spec={"skipAnalysis": True}, canary=DOWN, phase=S.PROGRESSING),
    "the analysis is skipped, the arm outlives its deadline": Row(
        replace(AT_0, unready_since=970.0),
        spec={"skipAnalysis": True},
        canary=DOWN,
        phase=S.FAILED,
        ending=Outcome.ROLLED_BACK,
    ),
    # -- promoted
    "promoting gives all traffic at once": Row(PROMOTING, phase=S.FINALISING, weight=0, primary_is=NEW),
    "promoting by steps moves the logical weight": Row(
        PROMOTING, analysis={"stepWeightPromotion": 20}, phase=S.PROMOTING, weight=30, primary_is=NEW
    ),
    "promoting waits for its tick": Row(PROMOTING, due=False, phase=S.PROMOTING, weight=50, primary_is=NEW),
    "a push while promoting waits": Row(PROMOTING, main=NEWER, phase=S.FINALISING, primary_is=NEW),
    "finalised, the bake begins": Row(FINALISING, phase=S.SUCCEEDED, primary_is=NEW),
    "baking, rollback says no": Row(BAKING, asked=(BACK,), phase=S.SUCCEEDED, primary_is=NEW),
    "baking, rollback says yes": Row(
        BAKING, answers={BACK: YES}, asked=(BACK,), phase=S.FAILED, ending=Outcome.ROLLED_BACK, primary_is=OLD
    ),
    "baking, another push waits": Row(BAKING, main=NEWER, asked=(BACK,), phase=S.SUCCEEDED, primary_is=NEW),
    "baking, main goes back": Row(BAKING, main=OLD, phase=S.FAILED, ending=Outcome.SUPERSEDED, primary_is=OLD),
    "the bake is over": Row(
        BAKING, now=1005, asked=(BACK,), phase=S.SUCCEEDED, ending=Outcome.PROMOTED, primary_is=NEW
    ),
    "the bake is over but nobody answers": Row(
        BAKING, now=1005, answers={BACK: GONE}, asked=(BACK,), phase=S.SUCCEEDED, primary_is=NEW
    ),
    "nobody has answered for as long as may be": Row(
        BAKING,
        now=1035,
        answers={BACK: GONE},
        asked=(BACK,),
        phase=S.SUCCEEDED,
        ending=Outcome.PROMOTED,
        primary_is=NEW,
    ),
    "the promoted arm has just gone down": Row(BAKING, primary=DEAD, asked=(BACK,), phase=S.SUCCEEDED, primary_is=NEW),
    "the promoted arm stays down": Row(
        replace(BAKING, unready_since=970.0), primary=DEAD, phase=S.FAILED, ending=Outcome.ROLLED_BACK, primary_is=OLD
    ),
    "the end is told first": Row(replace(FAILED, farewell=S.FAILED), main=OLD, asked=(POST,), phase=S.FAILED),
}


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str, make_canary: Callable[..., Any]) -> None:
    row = ROWS[name]
    step, asked = _play(row, make_canary(spec=row.spec, **{"metrics": [], **row.analysis}))
    assert tuple(asked) == row.asked
    assert step.state.primary == row.primary_is
    assert split_of(step.state).weight == row.edge
    assert step.state.failed_checks == row.failed
    assert (step.ending.outcome if step.ending else None) == row.ending
    if row.phase is not None:
        assert step.state.phase is row.phase
    if row.weight is not None:
        assert step.state.weight == row.weight
    if row.attempt is not None:
        assert step.state.attempt == row.attempt


def _play(row: Row, canary: Any) -> tuple[Step, list[str]]:
    target = Target(row.main, "c", 999.0, canary) if row.main else None
    facts = Facts(row.now, target, row.primary, row.canary, row.due, Terms(bake_seconds=5, silence_seconds=30), 3.0)
    asked: list[str] = []
    while isinstance(said := advance(canary, row.state, facts), Ask):
        asked.append(said.kind)
        facts = replace(facts, answers=(*facts.answers, row.answers.get(said.kind, NO)))
    return said, asked


def test_every_phase_that_a_rollout_can_be_in_has_a_row() -> None:
    assert {row.state.phase for row in ROWS.values()} >= set(Phase) - {
        Phase.TERMINATING,
        Phase.TERMINATED,
        Phase.INITIALIZED,
    }


@pytest.mark.parametrize(
    ("state", "kind", "phase"),
    [
        (IDLE, CONFIRM, Phase.SUCCEEDED),
        (WAITING, CONFIRM, Phase.WAITING),
        (FAILED, CONFIRM, Phase.FAILED),
        (TRIAL, BACK, Phase.PROGRESSING),
        (ASKED, BACK, Phase.WAITING_PROMOTION),
        (ASKED, PROMOTE, Phase.PROGRESSING),
        (BAKING, BACK, Phase.SUCCEEDED),
        (replace(BAKING, farewell=Phase.SUCCEEDED), POST, Phase.SUCCEEDED),
    ],
)
def test_a_hook_is_told_the_phase_that_flagger_tells_it(
    state: State, kind: str, phase: Phase, make_canary: Callable[..., Any]
) -> None:
    canary = make_canary()
    main = NEWER if state is FAILED else NEW
    facts = Facts(1000.0, Target(main, "c", 999.0, canary), READY, READY, due=True)
    while isinstance(said := advance(canary, state, facts), Ask):
        if said.kind == kind:
            assert said.phase is phase
            return
        facts = replace(facts, answers=(*facts.answers, NO))
    pytest.fail(f"{kind} was not asked")


def test_confirm_rollout_still_carries_the_checksum_of_the_release_before(make_canary: Callable[..., Any]) -> None:
    canary = make_canary()
    facts = Facts(1000.0, Target(NEW, "c", 999.0, canary), READY, READY, due=True)
    said = advance(canary, IDLE, facts)
    assert isinstance(said, Ask)
    assert said.checksum == OLD.hash
    step = advance(canary, IDLE, replace(facts, answers=(YES,)))
    assert isinstance(step, Step)
    assert step.state.checksum == NEW.hash


def test_the_old_arm_stays_while_baking_and_drains_afterwards() -> None:
    assert tenants_of(BAKING) == {Slot.GREEN: NEW, Slot.BLUE: OLD}
    assert tenants_of(replace(BAKING, bake_until=None, previous=None, leaving=OLD)) == {Slot.GREEN: NEW, Slot.BLUE: OLD}
    assert tenants_of(replace(BAKING, bake_until=None, previous=None)) == {Slot.GREEN: NEW, Slot.BLUE: None}


def test_the_epoch_grows_exactly_when_the_edge_has_something_to_change(make_canary: Callable[..., Any]) -> None:
    for row in ROWS.values():
        step, _ = _play(row, make_canary(spec=row.spec, **{"metrics": [], **row.analysis}))
        changed = replace(split_of(step.state), epoch=0) != replace(split_of(row.state), epoch=0)
        assert step.state.epoch == row.state.epoch + changed


def test_a_drained_slot_starts_its_next_arm_with_the_whole_deadline(make_canary: Callable[..., Any]) -> None:
    waited = replace(AT_0, leaving=OLD, leave_at=1000.0, unready_since=900.0)
    step, _ = _play(Row(waited), make_canary())
    assert (step.state.leaving, step.state.unready_since) == (None, 1000.0)


def test_a_note_is_kept_under_the_attempt_that_it_is_about(make_canary: Callable[..., Any]) -> None:
    step, _ = _play(Row(TRIAL, main=NEWER), make_canary())
    assert [(event.kind, event.attempt) for event in step.events if event.kind in {"weight", "push_seen"}] == [
        ("weight", 2),
        ("push_seen", 3),
    ]
