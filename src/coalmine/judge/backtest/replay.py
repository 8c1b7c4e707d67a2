"""Yesterday's polls under today's policy, by the very code that runs live."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from coalmine.errors import BadInput
from coalmine.judge import decide, series
from coalmine.judge.backtest.recorded import Recording, from_polls
from coalmine.judge.decide import Verdict
from coalmine.judge.fold import BAKED, State, fold_all, log_e_mean
from coalmine.judge.policy import Errors, Policy, Role
from coalmine.records import Decision, Poll


@dataclass(frozen=True, slots=True)
class Cost:
    """What users paid until a time, the bake left out: the canary's outcomes and bad ones, and how many of these the
    primary would not have given at its rate in the same steps. `metric` is the one that was counted.
    """

    metric: str
    canary_requests: int
    canary_failures: int
    extra_failures: float


@dataclass(frozen=True, slots=True)
class Backtest:
    """What would have been decided, and since when. `left_out`: metrics of the policy that the recording does not
    hold. `said`: the reason at the look that decided. `trace`: (t, ln of the mean e-value to roll back) at each look.
    """

    verdict: Verdict
    first_promote: float | None
    polls: int
    left_out: tuple[str, ...]
    opened: float
    cost: Cost
    said: str = ""
    trace: tuple[tuple[float, float], ...] = ()


def to_json(found: Backtest) -> dict[str, Any]:
    """The verdict's fields (decision, t, reason, metrics, ...) with the rest beside them."""
    rest = {"first_promote": found.first_promote, "polls": found.polls, "left_out": list(found.left_out)}
    return {**asdict(found.verdict), **rest, "opened": found.opened, "cost": asdict(found.cost)}


def backtest(polls: Path, policy: Policy) -> Backtest:
    """Fold a file of polls and look at each of its times. Raises BadInput as read_polls, and for an unknown metric."""
    return replay(from_polls(polls, policy), policy, where=str(polls))


def replay(recording: Recording, policy: Policy, *, where: str = "", known: Collection[str] = ()) -> Backtest:
    """Fold a recording's polls and look at each of their times. A policy may have dropped a metric that it would have
    by default, or that is `known` to another policy: it adds nothing then.

    Raises:
        BadInput: polls of any other metric that the policy does not know.
    """
    found = recording.polls
    unknown = sorted({poll.metric for poll in found} - {*policy.metrics, *Policy().metrics, *known})
    if unknown:
        what = f"the policy knows no metric {unknown[0]!r}"
        raise BadInput(what, where=where or recording.name, remedy=f"its metrics are {', '.join(policy.metrics)}")
    left_out = left_out_of(policy, recording)
    course = _Course(_without(policy, left_out), recording)
    for t, look in groupby(found, key=lambda poll: poll.t):
        course.look(t, list(look))
        if course.state.latched is not None:
            break  # latched: what comes after it is not even folded
    verdict = course.ended()
    decided = verdict.decision in (Decision.ROLLBACK, Decision.PROMOTE)
    over, said = (verdict.t, course.said) if decided else (found[-1].t, verdict.reason)
    cost = cost_until(found, over, metric=main_metric(policy, found))
    trace = tuple(course.trace)
    return Backtest(verdict, course.first_promote, len(found), left_out, recording.opened, cost, said, trace)


class _Course:
    """One recording on its way. The verdict is made only where it can differ from the one before, which a look that
    cannot promote does not: most of the time would go into sentences that nobody reads.
    """

    def __init__(self, policy: Policy, recording: Recording) -> None:
        self.policy, self.opened, self.last = policy, recording.opened, recording.polls[-1].t
        self.state, self.since, self.baking, self.t = State(), recording.opened, False, recording.opened
        self.first_promote: float | None = None
        self.trace: list[tuple[float, float]] = []
        self.verdict = self._judged()
        self.said = self.verdict.reason

    def look(self, t: float, polls: list[Poll]) -> None:
        """All polls of one time. After a promotion only a rollback changes what was decided."""
        self.t = t
        self.state = fold_all(polls, self.policy, self.state)
        self.baking = self.baking or any(poll.step == BAKED for poll in polls)
        self.trace.append((t, log_e_mean(self.state, self.policy, baked=self.baking)))
        if self.verdict.decision is Decision.CONTINUE and self._waits():
            return
        now = self._judged()
        if self.baking and now.decision is not Decision.ROLLBACK:
            return
        if now.decision is not self.verdict.decision:
            self.since, self.said = t, now.reason
        if self.first_promote is None and now.decision is Decision.PROMOTE:
            self.first_promote = t
        self.verdict = now

    def ended(self) -> Verdict:
        """The verdict as it stands at the end, with the time since which it has been that one."""
        if self.state.latched is not None:
            self.trace.append((self.last, self.trace[-1][1]))
            return self.verdict
        if self.verdict.decision is Decision.CONTINUE and not self.baking:
            self.verdict = self._judged()
        return replace(self.verdict, t=self.since)

    def _judged(self) -> Verdict:
        return decide.judge(self.state, self.policy, self.t, opened=self.opened)

    def _waits(self) -> bool:
        """Whether it is certain that the verdict is CONTINUE: in time, not latched, and a guardrail does not pass."""
        state, policy = self.state, self.policy
        begun = self.opened if state.started is None else state.started
        if state.latched is not None or self.t - begun > policy.maximum_seconds:
            return False
        for name in _guardrails(policy):
            metric = state.metrics.get(name)
            if metric is None or not metric.totals[0]:
                return True
            asked = series.asked_of(metric.rows, policy.metrics[name])
            whole = series.Stretches(asked.sum(axis=0)[None], metric.counts.sum(axis=0)[None])
            (holds,) = series.noninferior({name: whole}, policy)[name]
            if holds.whole < -math.log(policy.beta):
                return True
        return False


def left_out_of(policy: Policy, recording: Recording) -> tuple[str, ...]:
    """The policy's metrics of which nothing was recorded."""
    held = {poll.metric for poll in recording.polls}
    return tuple(name for name in policy.metrics if name not in held)


def _without(policy: Policy, names: tuple[str, ...]) -> Policy:
    """A metric that was never recorded can neither speak nor be waited for; but where no guardrail was recorded at
    all, they stay: nothing has shown that the canary may be promoted.
    """
    guardrails = _guardrails(policy)
    taken = [name for name in names if guardrails - set(names) or name not in guardrails]
    observed = {name: policy.metrics[name].model_copy(update={"role": Role.OBSERVE}) for name in taken}
    return policy.model_copy(update={"metrics": {**policy.metrics, **observed}})


def _guardrails(policy: Policy) -> set[str]:
    return {name for name, rules in policy.metrics.items() if rules.role is Role.GUARDRAIL}


def main_metric(policy: Policy, polls: Iterable[Poll]) -> str:
    """The metric that counts requests: the first of kind errors that was recorded, else the one with most outcomes."""
    seen: dict[str, int] = defaultdict(int)
    for poll in polls:
        seen[poll.metric] += poll.n_c
    errors = [name for name, rules in policy.metrics.items() if isinstance(rules, Errors) and name in seen]
    return errors[0] if errors else max(seen, key=lambda name: seen[name])


def cost_until(polls: Iterable[Poll], t: float, *, metric: str) -> Cost:
    """Counted step by step: pooled over a ramp, a primary's rate that drifts would be compared at the wrong weights."""
    steps: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for poll in polls:
        if poll.metric == metric and not poll.part and poll.t <= t and poll.step != BAKED:
            counts = (poll.n_c, poll.e_c, poll.n_b, poll.e_b)
            steps[poll.step] = [a + b for a, b in zip(steps[poll.step], counts, strict=True)]
    extra = sum(e_c - n_c * e_b / n_b for n_c, e_c, n_b, e_b in steps.values() if n_b)
    requests, failures = (sum(step[place] for step in steps.values()) for place in (0, 1))
    return Cost(metric, requests, failures, extra)
