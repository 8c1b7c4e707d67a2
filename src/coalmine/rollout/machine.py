"""Flagger's rollout as a pure state machine: `advance(canary, state, facts)` is an `Ask` or a `Step`, nothing else.

Re-entrant: the driver answers an Ask by calling and calls again with the answer added; the questions come in the same
order each time. Source of the semantics: Flagger 1.44, pkg/controller/scheduler.go and scheduler_hooks.go.

A tick (`facts.due`), in Flagger's order: a new revision restarts; the primary must be ready; the canary must be ready
or has outlived progressDeadlineSeconds; `rollback` hooks, the first yes counts; failed checks against the threshold;
at weight 0 `pre-rollout`, above it `rollout` hooks and metrics, where each no is one failed check; then, unless
WaitingPromotion, `confirm-traffic-increase`, at the largest weight too; then a step, or `confirm-promotion`.
A no to a confirm hook is never counted.

Where it differs from Flagger is a table in docs/reference/canary.md; all else is held to the real one by
tests/cluster/test_parity.py. What the code must know of it:
- A revert to the primary during a canary ends the attempt (superseded). Flagger analyses the primary against itself.
- A hook or metric provider that cannot be reached is silence, not a failed check: hold; after the policy's silence
  weight 0, from where the ramp starts again once the judge answers. Events do not count.
- A primary that is not ready holds the rollout however long: traffic is never sent back to an arm that is down.
- Promotion gives the canary's slot all of the traffic at once; stepWeightPromotion moves the logical weight only.
- Bake: after Succeeded the old arm stays warm and `rollback` is asked with phase Succeeded. A yes, a promoted arm that
  stays down for the progress deadline, or a push of the old release goes back at once (Failed). The attempt ends with
  the bake, and a dead judge prolongs it up to the policy's silence. Another push waits until then.
- A slot is used again when its last requests have had their time (`drain_seconds`); the deadline counts from then.
- post-rollout hooks are called at least once, also when the process dies in between.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

from coalmine.records import Outcome, Phase
from coalmine.rollout.canary import Canary
from coalmine.rollout.schema import Metric, Webhook
from coalmine.rollout.state import Answer, Ask, Facts, Said, State, Step, Target
from coalmine.rollout.tick import ON_TRIAL, Tick

Asking: TypeAlias = Generator[Ask, Answer, None]


def advance(canary: Canary, state: State, facts: Facts) -> Ask | Step:
    """The next question, or the next state once all questions of this moment are answered."""
    tick = Tick(canary, state, facts)
    answers = iter(facts.answers)
    run = _run(tick)
    try:
        ask = next(run)
        while True:
            answer = next(answers, None)
            if answer is None:
                return ask
            tick.heard(ask, answer)
            ask = run.send(answer)
    except StopIteration:
        return tick.step()


def _run(tick: Tick) -> Asking:
    state = tick.state
    if tick.canary.suspend:
        return
    if state.farewell is not None:
        yield from _farewell(tick, state.farewell)
    tick.free_slot()
    if state.baking:
        yield from _bake(tick)
    elif state.phase is Phase.INITIALIZING:
        _initialize(tick)
    elif state.phase in ON_TRIAL:
        yield from _trial(tick)
    elif state.phase in (Phase.PROMOTING, Phase.FINALISING):
        _finalise(tick)
    else:
        yield from _idle(tick)


# ---- no attempt is open, or one waits for its approval --------------------------------------------------------------


def _idle(tick: Tick) -> Asking:
    target, state = tick.facts.target, tick.state
    if target is None:
        if state.primary is None and state.applied is not None:
            tick.change(applied=None)  # a failed first release was withdrawn: the same one may come again
        return
    waiting = state.phase is Phase.WAITING
    if state.primary is None:
        if target.spec != state.applied:
            tick.open(target, Phase.INITIALIZING)
    elif target.spec == state.primary:
        if waiting:
            tick.fail(f"main went back to {target.spec.release}", outcome=Outcome.SUPERSEDED)
        elif state.applied != target.spec:
            tick.change(applied=target.spec)
    elif waiting or target.spec != state.applied:
        yield from _confirm_rollout(tick, target)


def _confirm_rollout(tick: Tick, target: Target) -> Asking:
    if tick.state.phase is Phase.WAITING and target.spec != tick.state.candidate:
        tick.close(tick.state.candidate, Outcome.SUPERSEDED, f"{target.spec.release} was pushed before this was let in")
        tick.open(target, Phase.WAITING)
    if not tick.facts.due or not (tick.facts.primary.ready or tick.canary.skip_analysis):
        return
    asked_in = tick.state.phase or Phase.INITIALIZED
    if asked_in is Phase.FAILED:
        # As Flagger, which takes in what it sees before it asks, but only after a failure.
        tick.change(applied=target.spec)
    for hook in tick.canary.hooks("confirm-rollout"):
        answer = yield tick.ask(hook, asked_in)
        if answer.said is not Said.YES:
            if asked_in is not Phase.WAITING:
                tick.open(target, Phase.WAITING)
                tick.note(f"Halt advancement waiting for approval {hook.name}", kind="warning")
            tick.wait(hook, answer)
            return
    tick.open(target, Phase.PROGRESSING)
    tick.note(f"New revision detected! Scaling up {tick.canary.name}.{tick.canary.namespace}")


def _initialize(tick: Tick) -> None:
    target, candidate, arm = tick.facts.target, tick.state.candidate, tick.facts.primary
    if target is not None and target.spec != candidate:
        tick.close(candidate, Outcome.SUPERSEDED, f"{target.spec.release} was pushed before this was ready")
        tick.open(target, Phase.INITIALIZING)
    elif arm.ready:
        tick.ready()
        tick.change(primary=candidate, candidate=None, waiting_for="")
        tick.phase(Phase.INITIALIZED)
        tick.close(candidate, Outcome.FIRST_RELEASE, "first release: there was nothing to compare it with")
        tick.note(f"Initialization done! {tick.canary.name}.{tick.canary.namespace}")
    else:
        tick.change(waiting_for=f"the arm is {arm.health}: {arm.why}")
        if tick.overdue():
            tick.fail(f"progress deadline exceeded: {arm.why or arm.health}")


# ---- the canary takes traffic ---------------------------------------------------------------------------------------


def _trial(tick: Tick) -> Asking:
    if _revised(tick):
        return
    primary = tick.facts.primary
    if not tick.canary.skip_analysis:
        if not primary.ready:
            tick.change(waiting_for=f"the primary is {primary.health}: {primary.why}")
            return
        reason = yield from _asked_to_go_back(tick)
        if reason is not None:
            tick.fail(reason)
            return
        if _silent(tick):
            return
    if not tick.facts.due or tick.before.leaving is not None or not _canary_ready(tick):
        return  # `before`: in the moment that frees the slot, what was seen there is the one who left
    if tick.canary.skip_analysis:
        tick.promote("the analysis was skipped, as the Canary says")
        tick.succeed(bake_seconds=0)  # at once: no tick in Promoting or Finalising
    elif tick.state.failed_checks >= tick.canary.threshold:
        tick.fail(f"failed checks threshold reached: {tick.state.failed_checks}, last {tick.state.waiting_for}")
    else:
        yield from _analyse(tick)


def _revised(tick: Tick) -> bool:
    target, state = tick.facts.target, tick.state
    if target is None or target.spec == state.candidate:
        return False
    if target.spec == state.primary:
        tick.fail(f"main went back to {target.spec.release}", outcome=Outcome.SUPERSEDED)
        return True
    tick.note(f"New revision detected! Restarting analysis for {tick.canary.name}.{tick.canary.namespace}")
    tick.weight(0)
    tick.leave_trial(state.candidate)
    tick.close(state.candidate, Outcome.SUPERSEDED, f"{target.spec.release} was pushed during the canary")
    tick.open(target, Phase.PROGRESSING)
    return True


def _asked_to_go_back(tick: Tick) -> Generator[Ask, Answer, str | None]:
    phase = tick.state.phase or Phase.PROGRESSING
    for hook in tick.canary.hooks("rollback"):
        answer = yield tick.ask(hook, phase)
        if answer.said is Said.YES:
            return answer.text.strip() or f"rollback hook {hook.name} said yes"
    return None


def _silent(tick: Tick) -> bool:
    """A judge that does not answer: hold, and give the traffic back once it has been silent for too long."""
    since, now = tick.state.silent_since, tick.facts.now
    if since is None:
        return False
    tick.change(waiting_for=f"the judge has not answered for {now - since:.0f} s")
    if tick.state.weight and now - since >= tick.facts.terms.silence_seconds:
        tick.weight(0)
        tick.phase(Phase.PROGRESSING)
        tick.note("the judge is silent: weight 0 until it answers", kind="warning")
    return True


def _canary_ready(tick: Tick) -> bool:
    arm = tick.facts.canary
    if arm.ready:
        tick.ready()
        return True
    tick.change(waiting_for=f"the canary is {arm.health}: {arm.why}")
    if tick.overdue():
        tick.fail(f"progress deadline exceeded: {arm.why or arm.health}")
    return False


def _analyse(tick: Tick) -> Asking:
    checks: tuple[Webhook | Metric, ...] = (*tick.canary.hooks("rollout"), *tick.canary.metrics)
    if tick.state.weight == 0:
        checks = tick.canary.hooks("pre-rollout")
    for check in checks:
        answer = yield tick.ask(check, Phase.PROGRESSING)
        if answer.said is not Said.YES:
            tick.wait(check, answer)
            if answer.said is not Said.UNREACHABLE:
                tick.change(failed_checks=tick.state.failed_checks + 1)
                tick.note(f"Halt advancement: {check.name} failed: {answer.text or answer.said}", kind="warning")
            return
    if tick.state.phase is Phase.PROGRESSING:
        for hook in tick.canary.hooks("confirm-traffic-increase"):
            answer = yield tick.ask(hook, Phase.PROGRESSING)
            if answer.said is not Said.YES:
                tick.wait(hook, answer)
                return
    if tick.state.weight < tick.canary.max_weight:
        tick.weight(tick.canary.next_weight(tick.state.weight))
        tick.change(waiting_for="")
        tick.note(f"Advance {tick.canary.name}.{tick.canary.namespace} canary weight {tick.state.weight}")
    else:
        yield from _confirm_promotion(tick)


def _confirm_promotion(tick: Tick) -> Asking:
    reason = "every step passed"
    for hook in tick.canary.hooks("confirm-promotion"):
        answer = yield tick.ask(hook, Phase.PROGRESSING)
        if answer.said is not Said.YES:
            if tick.state.phase is not Phase.WAITING_PROMOTION:
                tick.note(f"Halt advancement waiting for promotion approval {hook.name}", kind="warning")
            tick.phase(Phase.WAITING_PROMOTION)
            tick.wait(hook, answer)
            return
        reason = answer.text.strip() or reason
    tick.promote(reason)
    tick.phase(Phase.PROMOTING)


# ---- promoted -------------------------------------------------------------------------------------------------------


def _finalise(tick: Tick) -> None:
    if not tick.facts.due:
        return
    if tick.state.phase is Phase.FINALISING:
        tick.succeed(bake_seconds=tick.facts.terms.bake_seconds)
        return
    step = tick.canary.promotion_step or 100
    tick.weight(max(0, tick.state.weight - step))
    if tick.state.weight == 0:
        tick.phase(Phase.FINALISING)


def _bake(tick: Tick) -> Asking:
    target, state, now = tick.facts.target, tick.state, tick.facts.now
    if target is not None and target.spec == state.previous:
        tick.go_back(f"main went back to {target.spec.release}", outcome=Outcome.SUPERSEDED)
        return
    if tick.facts.primary.ready:
        tick.change(unready_since=None)
    elif tick.overdue():
        tick.go_back(f"the promoted arm is {tick.facts.primary.health}: {tick.facts.primary.why}")
        return
    reason = yield from _asked_to_go_back(tick)
    if reason is not None:
        tick.go_back(reason)
        return
    over = now - (state.bake_until or now)
    silent = tick.state.silent_since is not None and over < tick.facts.terms.silence_seconds
    if over >= 0 and not silent:
        tick.end_bake(baked=True)


def _farewell(tick: Tick, phase: Phase) -> Asking:
    for hook in tick.canary.hooks("post-rollout"):
        answer = yield tick.ask(hook, phase)
        if answer.said is not Said.YES:
            tick.note(f"Post-rollout hook {hook.name} failed {answer.text}", kind="warning")
            break
    tick.change(farewell=None)
