"""The slow oracle of coalmine.judge.counting: one line after the other, no columns. Nothing is cut by asking ahead."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from coalmine.judge.fold import BAKED
from coalmine.judge.policy import Errors, Latency, Policy
from coalmine.judge.sources import Line
from coalmine.records import Poll

LONGEST_POLL = 30.0
_STRANGERS = 100  # more canary requests than this to another release than the hint's: the hint is wrong
_SILENT = 1.0  # seconds without a line after which no more lines with the last `t` can come


@dataclass(slots=True)
class Pending:
    """The poll that is being filled: cells by step, each (n_c, e_c, n_b, e_b)."""

    start: float = 0.0
    t: float = 0.0
    epoch: int = -1
    cells: dict[str, list[int]] = field(default_factory=dict)

    def add(self, t: float, step: int, *, canary: bool, bad: bool, part: str = "") -> None:
        if not self.cells:
            self.start = t
        self.t = max(self.t, t)
        cell = self.cells.setdefault(f"{step}/{part}", [0, 0, 0, 0])
        cell[0 if canary else 2] += 1
        cell[1 if canary else 3] += bad

    def is_full(self, outcomes: int, seconds: float) -> bool:
        if self.t - self.start < seconds:
            return False
        return any(
            cell[0] >= outcomes and (cell[2] >= outcomes or key.startswith(f"{BAKED}/"))
            for key, cell in self.cells.items()
        )

    def cut(self, metric: str) -> list[Poll]:
        polls = [
            Poll(
                self.t, metric, n_c=n_c, e_c=e_c, n_b=n_b, e_b=e_b, step=int(key.split("/")[0]), part=key.split("/")[1]
            )
            for key, (n_c, e_c, n_b, e_b) in self.cells.items()
        ]
        self.cells, self.t = {}, 0.0
        return polls


@dataclass(slots=True)
class Slice:
    """An open slice of one arm: whole seconds until it holds enough requests."""

    second: int
    step: int
    epoch: int
    n: int = 0
    slow: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Counting:
    """What one analysis has read and not yet cut, and what it knows of its canary. `dump` and `load` are exact."""

    release: str = ""  # read from the running canary itself
    hint: str = ""  # what a hook said the release is; only used to tell it from the one before
    baseline: list[str] = field(default_factory=list)
    after_epoch: int = 0  # lines up to this epoch belong to the attempt before
    epoch: int = -1
    weight: int | None = None  # the newest weight seen in any line
    seen: float = 0.0  # t of the newest line
    strangers: int = 0
    superseded: str = ""
    baking: float | None = None
    exposed: float | None = None
    over: bool = False  # a canary of the next release runs: this one's bake is over
    weights: list[list[float]] = field(default_factory=list)  # [t, epoch, weight]
    routed: dict[str, int] = field(default_factory=dict)  # canary requests by weight, cut or not
    failed: int = 0  # canary requests that failed, bake included
    pending: dict[str, Pending] = field(default_factory=dict)
    slices: dict[str, Slice] = field(default_factory=dict)

    limit: int = 100_000
    halvings: int = 0
    users: dict[str, float] = field(default_factory=dict)
    skipped: int = 0
    canary: str = ""

    def dump(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, data: dict[str, Any]) -> Counting:
        pending = {name: Pending(**value) for name, value in data["pending"].items()}
        slices = {name: Slice(**value) for name, value in data["slices"].items()}
        return cls(**{**data, "pending": pending, "slices": slices})

    # ---- requests ----

    def lines(self, lines: Iterable[Line], policy: Policy) -> list[Poll]:
        """Count `lines`; the polls that they complete, in order."""
        polls: list[Poll] = []
        for line in lines:
            if self.over or self.superseded:
                break
            if self.canary and line.canary not in ("", self.canary):
                continue
            polls += self._line(line, policy)
        return polls

    def _line(self, line: Line, policy: Policy) -> list[Poll]:
        changed = self._follow(line)
        step = self._step(line)
        if step is None:
            return self._cut_all(policy, line, changed=changed)
        polls = self._cut_all(policy, line, changed=changed)
        canary = line.arm == "canary" or step == BAKED
        if canary:
            self.routed[str(step)] = self.routed.get(str(step), 0) + 1
        counts = policy.unit == "request" or self._is_first(line)
        for name, metric in policy.metrics.items():
            if isinstance(metric, Errors):
                bad = line.status >= 500 or line.status == 499 or line.upstream_failed or line.status in metric.also_bad
                if counts:
                    self._pending(name).add(line.t, step, canary=canary, bad=bad)
                self.failed += bad and canary
            elif isinstance(metric, Latency) and line.status < 400 and line.seconds is not None:
                self._slice(name, metric, line, step=step, canary=canary)
        return polls

    def _is_first(self, line: Line) -> bool:
        if not line.user:
            self.skipped += 1
            return False
        mixed = mix(line.user)
        while mixed % 2**self.halvings == 0 and str(mixed) not in self.users:
            if len(self.users) < self.limit:
                self.users[str(mixed)] = line.t
                return True
            self.halvings += 1
            self.users = {user: t for user, t in self.users.items() if int(user) % 2**self.halvings == 0}
        return False

    def _follow(self, line: Line) -> bool:
        """Keep up with weights and releases; True at a change of weight or split."""
        self.seen = max(self.seen, line.t)
        if line.epoch < self.epoch:
            return False  # a request that was on its way when the split changed
        changed = line.epoch > self.epoch
        if changed or self.weight is None or line.weight != self.weight:
            self.epoch, self.weight = line.epoch, line.weight
            self.weights.append([line.t, float(line.epoch), float(line.weight)])
            changed = True
        if line.arm == "canary":
            self._meet(line)
        elif self.release and line.release == self.release and self.baking is None:
            self.baking = line.t
        return changed

    def _meet(self, line: Line) -> None:
        if not self.release:
            stale = 0 < line.epoch <= self.after_epoch
            self.strangers += line.release != self.hint and not stale
            if line.release == self.hint or (not stale and (not self.hint or self.strangers > _STRANGERS)):
                self.release = line.release
        if not self.release:
            return
        if line.release == self.release:
            self.exposed = line.t if self.exposed is None else self.exposed
        elif self.baking is not None:
            self.over = True
        else:
            self.superseded = line.release

    def _step(self, line: Line) -> int | None:
        """The step that a line counts for; None where it counts for nothing."""
        if not self.release:
            return None
        if line.arm == "canary":
            return line.weight if line.release == self.release and line.weight > 0 else None
        if line.release == self.release:
            return BAKED
        if line.weight <= 0 or 0 < line.epoch <= self.after_epoch:
            return None
        if line.release not in self.baseline:
            self.baseline.append(line.release)
        return line.weight

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
        edges = (metric.edge_seconds, *metric.more_edges)
        slice_.slow = slice_.slow or [0] * len(edges)
        for place, edge in enumerate(edges):
            slice_.slow[place] += line.seconds is not None and line.seconds > edge

    def _close(self, name: str, metric: Latency, slice_: Slice, *, canary: bool) -> None:
        if slice_.n >= metric.slice_requests:
            end = float(slice_.second + 1)
            for part, slow in zip(metric.parts, slice_.slow, strict=True):
                self._pending(name).add(end, slice_.step, canary=canary, bad=slow > metric.share * slice_.n, part=part)

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
            if pending is None or not pending.cells or metric.kind == "feedback":
                continue
            if changed and line.t > pending.t:
                polls += pending.cut(name)
            elif line.t > pending.t:
                polls += self._cut(name, policy, now=line.t)
        return polls

    def _cut(self, name: str, policy: Policy, *, now: float) -> list[Poll]:
        pending = self.pending[name]
        full = pending.is_full(policy.metrics[name].poll_outcomes, policy.poll_seconds)
        return pending.cut(name) if full or now - pending.start > LONGEST_POLL else []

    def _pending(self, name: str) -> Pending:
        return self.pending.setdefault(name, Pending())


def mix(user: int) -> int:
    """SplitMix64's finaliser, in Python's own integers."""
    mixed = user ^ user >> 30
    mixed = mixed * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    return mixed ^ mixed >> 31
