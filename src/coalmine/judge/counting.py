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

import numpy as np

from coalmine.judge import slices
from coalmine.judge.aggregated import count_outcomes
from coalmine.judge.cutting import Found, Rules, Run
from coalmine.judge.exposed import Exposed
from coalmine.judge.fold import BAKED
from coalmine.judge.known import NOWHERE, Known
from coalmine.judge.pending import LONGEST_POLL, Pending
from coalmine.judge.policy import Errors, Latency, Policy
from coalmine.judge.slices import Closed, Slice, Timed
from coalmine.judge.sources import Label, Line, Lines, Outcomes, user_number
from coalmine.judge.sources.lines import Bools, Ints
from coalmine.records import Poll

_SILENT = 1.0  # seconds without a line after which no more lines with the last `t` can come


@dataclass(slots=True)
class Counting(Known):
    """What one analysis has read and not yet cut, and what it knows of its canary. `dump` and `load` are exact."""

    pending: dict[str, Pending] = field(default_factory=dict)
    slices: dict[str, Slice] = field(default_factory=dict)
    users: Exposed = field(default_factory=Exposed)  # where the policy's unit is the user: who has had a request
    voters: Exposed = field(default_factory=Exposed)  # and who has voted

    def dump(self) -> dict[str, Any]:
        flat = {item.name: getattr(self, item.name) for item in fields(self)}
        pending = {name: asdict(value) for name, value in self.pending.items()}
        slices = {name: asdict(value) for name, value in self.slices.items()}
        return {**flat, "pending": pending, "slices": slices, "users": self.users.dump(), "voters": self.voters.dump()}

    @classmethod
    def load(cls, data: dict[str, Any]) -> Counting:
        """What `dump` gave, or an older version's: what that did not know yet is as in a new analysis."""
        known = {name: data[name] for name in (item.name for item in fields(cls)) if name in data}
        pending = {name: Pending.load(value) for name, value in data["pending"].items()}
        opened = {name: slices.load(value) for name, value in data["slices"].items()}
        sets = {name: Exposed.load(data[name]) if name in data else Exposed() for name in ("users", "voters")}
        return cls(**{**known, "pending": pending, "slices": opened, **sets})

    # ---- requests ----

    def lines(self, lines: Iterable[Line], policy: Policy) -> list[Poll]:
        """Count `lines`; the polls that they complete, in order."""
        columns = (lines if isinstance(lines, Lines) else Lines.of(lines)).of_canary(self.canary)
        polls: list[Poll] = []
        begin = 0
        while begin < len(columns) and not self.has_ended():
            cut, begin = self.run(columns, begin, policy)
            polls += cut
        return polls

    def run(
        self, columns: Lines, begin: int, policy: Policy, *, longest_bake: float = math.inf
    ) -> tuple[list[Poll], int]:
        """Count from line `begin` to where something new is learnt: the polls completed, and where to go on.

        `longest_bake`: seconds after the promotion at which it stops, too.
        """
        first = columns[begin]
        changed = self.follow(first)
        self.step(first)
        end = begin + 1 if self.has_ended() else self.next_news(columns, begin + 1)
        if self.baking is not None and not self.has_ended():
            late = columns.t[begin + 1 : end] > self.baking + longest_bake
            end = begin + 1 + int(np.argmax(late)) if late.any() else end
        return self._run(columns[begin:end], policy, changed=changed), end

    def _run(self, lines: Lines, policy: Policy, *, changed: bool) -> list[Poll]:
        """Lines in which nothing new is learnt of weights and releases."""
        self.seen = max(self.seen, float(lines.t.max()))
        step = self.steps(lines)
        routed = step != NOWHERE
        canary = lines.to_canary | (step == BAKED)
        for value in np.unique(step[canary & routed]).tolist():
            self.count_canary(value, n=int(np.count_nonzero(canary & (step == value))), failed=0)
        once = self._units(lines, routed, policy)
        polls: list[tuple[int, int, list[Poll]]] = []
        for order, (name, metric) in enumerate(policy.metrics.items()):
            if isinstance(metric, Errors):
                bad = is_bad(lines, metric)
                self.failed += int(np.count_nonzero(bad & canary & routed))
                at = np.flatnonzero(once)
                found = Found(at, lines.t[at], step[at], canary[at], (bad[at],))
            elif isinstance(metric, Latency):
                found = self._slices(name, metric, lines, step=step, canary=canary)
            else:
                continue
            if not len(found.at) and name not in self.pending:
                continue
            rules = Rules(name, metric.parts, metric.poll_outcomes, policy.poll_seconds)
            run = Run(self._pending(name), lines.t, found, rules=rules)
            polls += [(line, order, cut) for line, cut in run.cut(changed=changed)]
        return [poll for _, _, cut in sorted(polls, key=lambda found: found[:2]) for poll in cut]

    def _units(self, lines: Lines, routed: Bools, policy: Policy) -> Bools:
        """The lines that are a unit's outcome: every request, or each user's first one."""
        if policy.unit == "request":
            return routed
        self.skipped += int(np.count_nonzero(routed & (lines.user == 0)))
        return self.users.meet(np.where(routed, lines.user, np.uint64(0)))

    def _slices(self, name: str, metric: Latency, lines: Lines, *, step: Ints, canary: Bools) -> Found:
        timed = (step != NOWHERE) & (lines.status < 400) & ~np.isnan(lines.seconds)
        closed: list[Closed] = []
        for arm in (True, False):
            key = f"{name}/{'canary' if arm else 'primary'}"
            at = np.flatnonzero(timed & (canary == arm))
            mine = Timed(at, lines.t[at], step[at], lines.epoch[at], lines.seconds[at], canary=arm)
            opened, outcomes = slices.close(self.slices.get(key), mine, metric)
            closed += outcomes
            if opened is not None:
                self.slices[key] = opened
        closed.sort(key=lambda outcome: outcome.at)
        return Found(
            at=np.array([outcome.at for outcome in closed], dtype=np.int64),
            t=np.array([outcome.t for outcome in closed], dtype=np.float64),
            step=np.array([outcome.step for outcome in closed], dtype=np.int64),
            canary=np.array([outcome.canary for outcome in closed], dtype=np.bool_),
            bad=tuple(
                np.array([outcome.bad[edge] for outcome in closed], dtype=np.bool_) for edge in range(len(metric.parts))
            ),
        )

    # ---- votes and counts ----

    def labels(self, labels: Iterable[Label], policy: Policy) -> list[Poll]:
        """Count votes, each in the step in which its prediction was routed."""
        names = [name for name, metric in policy.metrics.items() if metric.kind == "feedback"]
        polls: list[Poll] = []
        for label in labels:
            step = self.routed_in(label)
            if step is None or not self._votes(label, policy):
                continue
            for name in names:
                pending = self._pending(name)
                if pending.is_due(label.t, policy.metrics[name].poll_outcomes, policy.poll_seconds):
                    polls += pending.cut(name)
                pending.add(label.t, step, canary=label.release == self.release, e=not label.good)
        return polls

    def _votes(self, label: Label, policy: Policy) -> bool:
        """Whether it counts: where users are the unit, a user's first vote, soon after what it is about was served."""
        if policy.unit == "request":
            return True
        if not label.user:
            self.skipped += 1
        first = self.voters.meet(np.array([user_number(label.user)], dtype=np.uint64))
        return bool(first[0]) and label.t - label.predicted_at <= policy.unit_window_seconds

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

    def _pending(self, name: str) -> Pending:
        return self.pending.setdefault(name, Pending())


def is_bad(lines: Lines, metric: Errors) -> Bools:
    """5xx, a client that gave up waiting, a failure of the upstream, and what the policy adds."""
    bad: Bools = (lines.status >= 500) | (lines.status == 499) | lines.upstream_failed
    return bad | np.isin(lines.status, metric.also_bad) if metric.also_bad else bad
