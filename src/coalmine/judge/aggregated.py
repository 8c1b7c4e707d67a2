"""Counts that somebody else has counted, from Prometheus or a push: cut into polls as lines are.

An outcome of the canary without a release belongs to the hinted release, or to an unnamed canary. Counts of one time
are taken canary first, so that it does not matter which arm a push names first.
"""

from __future__ import annotations

from collections.abc import Iterable

from coalmine.judge.fold import BAKED
from coalmine.judge.known import Known
from coalmine.judge.pending import Pending
from coalmine.judge.policy import Policy
from coalmine.judge.sources import Outcomes
from coalmine.records import Poll

_UNBOUNDED = ("counts", "score")  # kinds whose e is no number of outcomes
_ROUNDING = 1e-3  # seconds
_WITHOUT_WEIGHT = ("paired",)  # shadow traffic: the canary answers nobody, so its weight is 0


def count_outcomes(
    known: Known, pending: dict[str, Pending], items: Iterable[Outcomes], *, policy: Policy
) -> list[Poll]:
    """The polls that `items` complete, in order. What fits no metric or part of `policy` is skipped and counted."""
    polls: list[Poll] = []
    for item in sorted(items, key=lambda item: (item.t, item.arm != "canary")):
        if known.has_ended():
            break
        if known.canary and known.canary != f"{item.namespace}/{item.name}":
            continue
        if not _fits(item, policy):
            known.skipped += 1
            continue
        step = _follow(known, item, shadow=policy.metrics[item.metric].kind in _WITHOUT_WEIGHT)
        if step is not None:
            polls += _add(known, pending.setdefault(item.metric, Pending()), item, step=step, policy=policy)
    return polls


def _fits(item: Outcomes, policy: Policy) -> bool:
    metric = policy.metrics.get(item.metric)
    if metric is None or item.part not in metric.parts or item.arm not in ("primary", "canary"):
        return False
    return item.n >= 0 and item.e >= 0 and (item.e <= item.n or metric.kind in _UNBOUNDED)


def _follow(known: Known, item: Outcomes, *, shadow: bool) -> int | None:
    """Keep up with the weight and the release; the step that `item` counts for, None for nothing."""
    known.seen = max(known.seen, item.t)
    if item.weight is not None and item.weight != known.weight:
        known.weigh(item.t, item.weight)
    if item.arm == "canary":
        if item.release:
            known.meet(item.release, t=item.t, n=item.n)
        else:
            known.assume(t=item.t)
        if known.has_ended() or item.release not in ("", known.release):
            return None
    elif known.release and item.release == known.release and known.baking is None:
        known.baking = item.t
    if not known.release:
        return None
    if known.baking is not None and item.release in ("", known.release):
        return BAKED  # the primary is what was the canary
    if item.arm == "primary" and item.release and item.release not in known.baseline:
        known.baseline.append(item.release)
    if known.weight is None:
        return 0  # nobody speaks of weights: a stream without steps
    return known.weight if known.weight > 0 or shadow else None


def _add(known: Known, pending: Pending, item: Outcomes, *, step: int, policy: Policy) -> list[Poll]:
    metric = policy.metrics[item.metric]
    moved = bool(pending.cells) and item.t > pending.t and not pending.holds(step)
    due = moved or pending.is_due(item.t, metric.poll_outcomes, policy.poll_seconds)
    polls = pending.cut(item.metric) if due else []
    fresh = not pending.cells
    canary = item.arm == "canary" or step == BAKED
    pending.add(item.t, step, canary=canary, n=item.n, e=item.e, q=item.q, part=item.part)
    if fresh:  # a reading has taken the time since the one before: alone it can fill a poll
        pending.start = max(pending.last, item.t - policy.poll_seconds - _ROUNDING)
    if canary and metric.kind == "errors":
        known.count_canary(step, n=item.n, failed=item.e)
    counted = next((name for name, one in policy.metrics.items() if one.kind == "errors"), "")
    if item.metric == counted and 0 < step < 100:
        known.share(item.t, step, canary=canary, n=item.n)
    return polls
