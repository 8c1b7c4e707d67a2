"""What each of Flagger's webhooks is answered. Success is 200, "no" is 409 with a sentence.

CONTINUE is never a "no" of a `rollout` hook: each "no" there would count as a failed check. The hooks carry no
credentials; they are hints, and the evidence comes from the log.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from coalmine.judge import decide
from coalmine.judge.desk import Desk
from coalmine.judge.live import Live
from coalmine.judge.verdict import Verdict
from coalmine.records import Decision

KINDS = (
    "confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "rollback",
    "post-rollout", "event",
)  # fmt: skip
_AGAIN_AFTER = 1.0  # seconds: an earned step that is not seen in the log by then was not taken
Answer = tuple[int, str]
_Line = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Word = Annotated[str, Field(max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Payload(BaseModel):
    """Flagger's body. What it adds later is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: _Word
    namespace: _Word
    phase: str = Field(default="", max_length=64)
    checksum: _Line = ""
    metadata: dict[str, str] | None = None

    def meta(self, key: str) -> str:
        return (self.metadata or {}).get(key, "")


def answer(desk: Desk, kind: str, payload: Payload) -> Answer:
    """Status and sentence. Raises BadInput where a new attempt's policy is broken."""
    apart = _APART.get(kind)
    if apart is not None:
        return apart(desk, payload)
    live = desk.ensure(
        payload.namespace,
        payload.name,
        payload.checksum,
        hint=payload.meta("release"),
        again=kind == "pre-rollout",
    )
    if live.reverted:
        return 200, live.reverted  # the sooner Flagger lets it in, the sooner it is done with what was taken back
    verdict = live.verdict(desk.clock())
    if verdict.decision is Decision.ROLLBACK:
        return 409, _held(verdict)
    if kind == "confirm-promotion":
        # A yes is the reason of what now happens and is repeated in records and commits: the sentence alone.
        return (200, verdict.reason) if verdict.decision is Decision.PROMOTE else (409, _held(verdict))
    if kind == "confirm-traffic-increase":
        return (200, verdict.reason) if _said(live, "approve") else _increase(desk, live, payload, verdict)
    return 200, _held(verdict)


def _rollback(desk: Desk, payload: Payload) -> Answer:
    live = desk.live(payload.namespace, payload.name) or desk.gone_back(payload.namespace, payload.name)
    if live is None or (payload.checksum and live.row.checksum != payload.checksum):
        return 409, "no analysis of this release is running"
    if live.reverted:
        return 409, live.reverted
    verdict = live.verdict(desk.clock())
    after_promotion = payload.phase == "Succeeded"
    by_hand = live.state.latched is None  # a person's word goes back in the bake time as well as before
    if verdict.decision is Decision.ROLLBACK and (by_hand or live.state.latched_in_bake == after_promotion):
        return 200, verdict.reason
    if after_promotion:
        return 409, "the promoted release keeps within its tolerated rates"
    return 409, _held(verdict)


def _held(verdict: Verdict) -> str:
    return f"{verdict.decision}: {verdict.reason}"


def _post_rollout(desk: Desk, payload: Payload) -> Answer:
    live = desk.live(payload.namespace, payload.name)
    if live is None or (payload.checksum and live.row.checksum != payload.checksum):
        return 200, "recorded: no analysis of this release is running"
    desk.finish(live, succeeded=payload.phase == "Succeeded")
    return 200, "recorded"


def _said(live: Live, action: str) -> bool:
    return live.override is not None and live.override.action == action


def _increase(desk: Desk, live: Live, payload: Payload, verdict: Verdict) -> Answer:
    counting, policy = live.counting, live.policy
    if _said(live, "hold"):
        return 409, _held(verdict)
    weight = counting.weight or 0
    earned = json.loads(live.row.granted).get(str(weight))
    if earned is not None and not _was_not_taken(counting.seen, earned, weight=weight, payload=payload):
        return 409, f"the step beyond {weight} % is earned already and not yet seen in the traffic"
    refusal = _unearned(live, weight) if weight > 0 else ""
    if refusal:
        return 409, refusal
    desk.grant(live, weight)
    seen = counting.routed.get(str(weight), 0)
    return 200, f"earned: {seen} canary requests at {weight} %, {policy.step_outcomes} needed" if weight else "earned"


def _was_not_taken(seen: float, earned: float, *, weight: int, payload: Payload) -> bool:
    """The log, or the caller's own word at weight 0, shows that the step never happened (a caller that died)."""
    return seen > earned + _AGAIN_AFTER or (weight == 0 and payload.meta("weight") == "0")


def _unearned(live: Live, weight: int) -> str:
    policy = live.policy
    seen = live.counting.routed.get(str(weight), 0)
    if seen < policy.step_outcomes:
        return f"{seen} of {policy.step_outcomes} canary requests at {weight} % so far"
    extra = decide.extra_failures(live.state, policy)
    if extra > policy.step_extra_failures:
        return f"the next step would cost some {extra:.1f} failures, {policy.step_extra_failures:g} are allowed"
    if policy.sample_ratio == "pause" and live.log_e_sample_ratio() > -math.log(policy.alpha):
        return "the arms do not get the shares of traffic that the weights say: look at the routing"
    return ""


def _event(desk: Desk, payload: Payload) -> Answer:
    del desk, payload
    return 200, "recorded"


def _confirm_rollout(desk: Desk, payload: Payload) -> Answer:
    """Opens nothing: Flagger still sends the checksum of the spec before. A broken policy stops a rollout here."""
    desk.policy(payload.namespace, payload.name)
    return 200, "the policy reads well"


_APART: dict[str, Callable[[Desk, Payload], Answer]] = {
    "confirm-rollout": _confirm_rollout,
    "post-rollout": _post_rollout,
    "rollback": _rollback,
    "event": _event,
}
