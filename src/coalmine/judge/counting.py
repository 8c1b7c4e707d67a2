"""From lines, votes and counts to polls: when to cut is a function of what was read alone, never of the outcomes or
of this process.

A poll is cut when both arms have the policy's number of outcomes and `poll_seconds` have passed, at every change of
weight, and after 30 s. All lines with one `t` are one look. The clock on the wall cuts only what has fallen silent.
So a judge that was killed and started again cuts the same polls from the same log.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from coalmine.judge.aggregated import count_outcomes
from coalmine.judge.fold import BAKED
from coalmine.judge.known import Known
from coalmine.judge.pending import LONGEST_POLL, Pending
from coalmine.judge.policy import Errors, Latency, Policy
from coalmine.judge.sources import Label, Line, Outcomes
from coalmine.records import Poll

_SILENT = 1.0  # seconds without a line after which no more lines with the last `t` can come


@dataclass(slots=True)
class Slice:
    """An open slice of one arm: whole seconds until it holds enough requests."""

    second: int
    step: int
    epoch: int
    n: int = 0
    slow: int = 0


@dataclass(slots=True)
class Counting(Known):
    """What one analysis has read and not yet cut, and what it knows of its canary. `dump` and `load` are exact."""

    pending: dict[str, Pending] = field(default_factory=dict)
    slices: dict[str, Slice] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, data: dict[str, Any]) -> Counting:
        """What `dump` gave, or an older version's: what that did not know yet is as in a new analysis."""
        known = {name: data[name] for name in (item.name for item in fields(cls)) if name in data}
        pending = {name: Pending.load(value) for name, value in data["pending"].items()}
        slices = {name: Slice(**value) for name, value in data["slices"].items()}
        return cls(**{**known, "pending": pending, "slices": slices})

    # ---- requests ----

    def lines(self, lines: Iterable[Line], policy: Policy) -> list[Poll]:
        """Count `lines`; the polls that they complete, in order."""
        polls: list[Poll] = []
        for line in lines:
            if self.ended:
                break
            polls += self._line(line, policy)
        return polls

    def _line(self, line: Line, policy: Policy) -> list[Poll]:
        changed = self.follow(line)
        step = self.step(line)
        polls = self._cut_all(policy, line, changed=changed)
        if step is None:
            return polls
        canary = line.arm == "canary" or step == BAKED
        if canary:
            self.count_canary(step, n=1, failed=0)
        for name, metric in policy.metrics.items():
            if isinstance(metric, Errors):
                bad = line.status >= 500 or line.status == 499 or line.upstream_failed or line.status in metric.also_bad
                self._pending(name).add(line.t, step, canary=canary, e=bad)
                self.failed += bad and canary
            elif isinstance(metric, Latency) and line.status < 400 and line.seconds is not None:
                self._slice(name, metric, line, step=step, canary=canary)
        return polls

    def _slice(self, name: str, metric: Latency, line: Line, *, step: int, canary: bool) -> None:
        key = f"{name}/{'canary' if canary else 'primary'}"
        slice_ = self.slices.get(key)
        if slice_ is not None and slice_.epoch > line.epoch:
            return
        if slice_ is not None and (
            slice_.step != step or (line.t >= slice_.second + 1 and slice_.n >= metric.slice_requests)
        ):
            self._close(name, metric, slice_, canary=canary)
            slice_ = None
        if slice_ is None:
            slice_ = self.slices[key] = Slice(math.floor(line.t), step, line.epoch)
        slice_.n += 1
        slice_.slow += line.seconds is not None and line.seconds > metric.edge_seconds

    def _close(self, name: str, metric: Latency, slice_: Slice, *, canary: bool) -> None:
        if slice_.n >= metric.slice_requests:
            slow = slice_.slow > metric.share * slice_.n
            self._pending(name).add(float(slice_.second + 1), slice_.step, canary=canary, e=slow)

    # ---- votes and counts ----

    def labels(self, labels: Iterable[Label], policy: Policy) -> list[Poll]:
        """Count votes, each in the step in which its prediction was routed."""
        names = [name for name, metric in policy.metrics.items() if metric.kind == "feedback"]
        polls: list[Poll] = []
        for label in labels:
            step = self.routed_in(label)
            if step is None:
                continue
            for name in names:
                pending = self._pending(name)
                if pending.is_due(label.t, policy.metrics[name].poll_outcomes, policy.poll_seconds):
                    polls += pending.cut(name)
                pending.add(label.t, step, canary=label.release == self.release, e=not label.good)
        return polls

    def outcomes(self, items: Sequence[Outcomes], policy: Policy) -> list[Poll]:
        """Count what Prometheus or a push has counted, for any kind of metric; the polls completed, in order."""
        return count_outcomes(self, self.pending, items, policy=policy)

    # ---- cutting ----

    def idle(self, now: float, policy: Policy) -> list[Poll]:
        """What the wall clock cuts: full polls without a next line, and what is older than the longest poll."""
        polls: list[Poll] = []
        for name, metric in policy.metrics.items():
            pending = self.pending.get(name)
            if pending is None or not pending.cells or now - pending.t < _SILENT:
                continue
            if pending.is_full(metric.poll_outcomes, policy.poll_seconds) or now - pending.start > LONGEST_POLL:
                polls += pending.cut(name)
        return polls

    def _cut_all(self, policy: Policy, line: Line, *, changed: bool) -> list[Poll]:
        polls: list[Poll] = []
        for name, metric in policy.metrics.items():
            pending = self.pending.get(name)
            if pending is None or not pending.cells or line.t <= pending.t:
                continue
            if isinstance(metric, Errors | Latency) and (
                changed or pending.is_due(line.t, metric.poll_outcomes, policy.poll_seconds)
            ):
                polls += pending.cut(name)
        return polls

    def _pending(self, name: str) -> Pending:
        return self.pending.setdefault(name, Pending())
