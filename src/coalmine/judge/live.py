"""One analysis with all that follows from its polls; a restart makes the same one from what is stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

from coalmine.judge import decide
from coalmine.judge.counting import Counting
from coalmine.judge.decide import MetricEvidence, Override, Verdict
from coalmine.judge.fold import State, fold_all
from coalmine.judge.policy import Policy
from coalmine.judge.store import Row
from coalmine.records import Poll

_POINTS = 2000  # of a trace; beyond it every second one is dropped


@dataclass(frozen=True, slots=True)
class Shown:
    """One metric at one time. Evidence is natural logarithms; the band is the confidence sequence's, None if empty."""

    n_c: int
    e_c: int
    log_e_rollback: float
    log_e_noninferior: float
    odds_low: float | None
    odds_high: float | None

    @classmethod
    def of(cls, metric: MetricEvidence) -> Shown:
        log_e = metric.log_e_rollback + metric.log_boost
        band = (metric.odds_low, metric.odds_high)
        return cls(metric.n_c, metric.e_c, log_e, metric.log_e_noninferior, *band)


@dataclass(frozen=True, slots=True)
class Point:
    """The evidence after the polls of one time: what a plot shows."""

    t: float
    log_e_mean: float
    weight: int
    metrics: dict[str, Shown]


@dataclass(slots=True)
class Live:
    """One analysis with all that follows from its polls."""

    row: Row
    policy: Policy
    counting: Counting
    state: State = field(default_factory=State)
    trace: list[Point] = field(default_factory=list)
    override: Override | None = None  # what a person said last, unless taken back

    def feed(self, polls: Iterable[Poll]) -> None:
        """Fold `polls` and keep a point of the trace for each of their times."""
        for _, group in groupby(polls, key=lambda poll: poll.t):
            self.state = fold_all(group, self.policy, self.state)
            verdict = self.verdict(self.state.t)
            metrics = {metric.name: Shown.of(metric) for metric in verdict.metrics}
            weight = self.state.steps[-1] if self.state.steps else 0
            self.trace.append(Point(self.state.t, verdict.log_e_mean, weight, metrics))
        if len(self.trace) > _POINTS:
            del self.trace[1::2]

    @property
    def promoted(self) -> float | None:
        """When the primary first served what was the canary's; None also where both served the same all along."""
        return None if self.counting.alike else self.counting.baking

    @property
    def baking(self) -> bool:
        return self.row.status == "baking" or self.promoted is not None

    @property
    def reverted(self) -> str:
        """Why there is nothing to decide; empty where there is, or where a person has decided."""
        if not self.counting.alike or self.override is not None:
            return ""
        return f"main went back to {self.counting.release}: both arms run it, and nothing is left to decide"

    def moment(self, now: float) -> float:
        """When to judge it for a person: an attempt that has ended is shown as it stood at its end."""
        ends = [t for t in (self.row.ended, self.promoted) if t is not None]
        return min([*ends, now])

    def log_e_sample_ratio(self) -> float:
        """Evidence that the arms do not get the shares of traffic that the weights say."""
        return decide.log_e_sample_ratio(self.state, self.policy, self.counting.shares)

    def verdict(self, now: float) -> Verdict:
        return decide.judge(self.state, self.policy, now, opened=self.row.opened, override=self.override)
