"""What others would have made of the same polls: Flagger's thresholds, and a z-test at every look."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

from coalmine.errors import BadInput
from coalmine.judge.backtest.flagger import Flagger
from coalmine.judge.backtest.recorded import Recording
from coalmine.judge.fold import BAKED
from coalmine.records import Decision, Poll

P_VALUE = 0.01
Z = 2.3263478740408408  # one-sided, p < .01


@dataclass(frozen=True, slots=True)
class Said:
    """What was decided at `t` (Unix seconds), and why."""

    decision: Decision
    t: float
    reason: str


def flagger(recording: Recording, rules: Flagger, *, metric: str) -> Said:
    """Tick by tick over the recorded outcomes of `metric`, at the weights that they were recorded at.

    Raises:
        BadInput: the Canary holds no check that counts of failed requests can answer.
    """
    if not rules.checks:
        raise BadInput(
            f"no metric of Canary {rules.name} is about failed requests",
            where="--flagger",
            remedy="a Canary with request-success-rate, success-rate or error-rate (in percent)",
        )
    polls = _of(recording, metric)
    end = max(poll.t for poll in polls)
    if not rules.weights:
        return Said(Decision.CONTINUE, end, "no stepWeight: it never advances")
    failed, passed, failing, t = 0, 0, "", recording.opened
    while True:
        t += rules.interval
        if failed >= rules.threshold:
            return Said(Decision.ROLLBACK, t, f"{failed} failed checks, the last: {failing}")
        if t > end:
            text = f"{passed} of {len(rules.weights)} checks passed, {failed} of {rules.threshold} failed"
            return Said(Decision.CONTINUE, end, text)
        found = _fails(rules, polls, t)
        failed, passed, failing = (failed + 1, passed, found) if found else (failed, passed + 1, failing)
        if passed == len(rules.weights):
            return Said(Decision.PROMOTE, t, f"{passed} of {passed + failed} checks passed, {failed} failed")


def _fails(rules: Flagger, polls: list[Poll], t: float) -> str:
    """The first check that fails at `t`, as a sentence; empty where all pass."""
    for check in rules.checks:
        within = [poll for poll in polls if t - check.window < poll.t <= t]
        n, bad = sum(poll.n_c for poll in within), sum(poll.e_c for poll in within)
        if not check.passes(n, bad):
            seen = f"{100 * (1 - bad / n):.2f} % of {n:,} requests" if n else "no request"
            return f"{check.name} {seen} within {check.window:g} s"
    return ""


def z_test(recording: Recording, *, metric: str) -> Said:
    """The two-proportion z-test on the totals so far at every look, one-sided at p < .01: not made for looking often,
    and therefore a negative control. It never promotes.
    """
    totals = (0, 0, 0, 0)
    polls = _of(recording, metric)
    for t, group in groupby(polls, key=lambda poll: poll.t):
        for poll in group:
            counts = (poll.n_c, poll.e_c, poll.n_b, poll.e_b)
            totals = (totals[0] + counts[0], totals[1] + counts[1], totals[2] + counts[2], totals[3] + counts[3])
        z = z_of(*totals)
        if z > Z:
            return Said(Decision.ROLLBACK, t, f"z = {z:.2f}, above {Z:.2f} (p < {P_VALUE:g})")
    return Said(Decision.CONTINUE, polls[-1].t, f"z = {z_of(*totals):.2f}, never above {Z:.2f} (p < {P_VALUE:g})")


def z_of(n_c: int, e_c: int, n_b: int, e_b: int) -> float:
    """The pooled two-proportion statistic; 0 while it is not defined."""
    if not n_c or not n_b:
        return 0.0
    pooled = (e_c + e_b) / (n_c + n_b)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_b))
    return (e_c / n_c - e_b / n_b) / spread if spread > 0 else 0.0


def _of(recording: Recording, metric: str) -> list[Poll]:
    return [poll for poll in recording.polls if poll.metric == metric and not poll.part and poll.step != BAKED]
