"""What an analysis knows of its canary: which release it is, at which weights it ran, what became of it.

It is read from what was routed. A hook's hint only tells the canary from the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from coalmine.judge.fold import BAKED
from coalmine.judge.sources import Label, Line, Lines
from coalmine.judge.sources.lines import Ints

NOWHERE = -2  # the step of a line that counts for nothing
_STRANGERS = 100  # more canary requests than this to another release than the hint's: the hint is wrong
_UNSURE = 2  # readings after which a weight that is still the same was surely in force all the time
_UNNAMED = "canary"  # a canary of which nobody says which release it is


@dataclass(slots=True)
class Known:
    """Grows with each line and each count that arrives."""

    release: str = ""  # read from the running canary itself
    hint: str = ""  # what a hook said the release is; only used to tell it from the one before
    assumed: bool = (
        False  # the release is the hint's, or unnamed: counts came without one; the first read one replaces it
    )
    canary: str = ""  # "namespace/name"; lines that name another Canary are not this one's
    baseline: list[str] = field(default_factory=list)
    after_epoch: int = 0  # lines up to this epoch belong to the attempt before
    epoch: int = -1
    weight: int | None = None  # the newest weight seen in any line
    seen: float = 0.0  # t of the newest line
    back: str = ""  # what main went back to in the attempt before: the release that the primary has all along
    strangers: int = 0
    superseded: str = ""
    baking: float | None = None
    exposed: float | None = None
    over: bool = False  # a canary of the next release runs: this one's bake is over
    weights: list[list[float]] = field(default_factory=list)  # [t, epoch, weight]
    routed: dict[str, int] = field(default_factory=dict)  # canary requests by weight, cut or not
    failed: int = 0  # canary requests that failed, bake included
    shares: dict[str, list[int]] | None = None  # by weight: requests counted by others, [canary, primary]; see `share`
    unsure: list[list[float]] = field(default_factory=list)  # the newest readings: [t, weight, canary, primary, mixed]
    skipped: int = 0  # counts and lines that could belong to no metric or unit of the policy

    def has_ended(self) -> bool:
        """Whether nothing more can count: another canary runs."""
        return self.over or bool(self.superseded)

    @property
    def alike(self) -> bool:
        """Whether the canary runs the primary's own release because main went back to it: nothing is at stake.

        Equal releases alone do not say so: a change beside the release file makes a canary of the same release, too.
        """
        return bool(self.back) and self.release == self.back

    def follow(self, line: Line) -> bool:
        """Keep up with weights and releases; True at a change of weight or split."""
        self.seen = max(self.seen, line.t)
        if line.epoch < self.epoch:
            return False  # a request that was on its way when the split changed
        changed = line.epoch > self.epoch
        if changed or self.weight is None or line.weight != self.weight:
            self.epoch = line.epoch
            self.weigh(line.t, line.weight)
            changed = True
        if line.arm == "canary":
            self.meet(line.release, t=line.t, stale=0 < line.epoch <= self.after_epoch)
        elif self.release and line.release == self.release and self.baking is None:
            self.baking = line.t
        return changed

    def weigh(self, t: float, weight: int) -> None:
        self.weight = weight
        self.weights.append([t, float(self.epoch), float(weight)])

    def share(self, t: float, weight: int, *, canary: bool, n: int) -> None:
        """Count a reading's requests towards the arms' shares at `weight`, where somebody else has counted them.

        Who counts and who tells the weight are read at different times, so near a change of weight a reading holds
        requests of both: it counts only if neither the two before nor the two after it had another weight.
        """
        self.shares = {} if self.shares is None else self.shares
        if not self.unsure or t > self.unsure[-1][0]:
            before = self.unsure[-1] if self.unsure else None
            new = before is None or before[1] != weight
            mixed = _UNSURE if new else max(0, int(before[4]) - 1) if before else 0
            self.unsure = [] if new else self.unsure
            self.unsure.append([t, float(weight), 0, 0, mixed])
            if len(self.unsure) > _UNSURE:
                _, sure, to_canary, to_primary, spoilt = self.unsure.pop(0)
                whole = self.shares.setdefault(str(int(sure)), [0, 0])
                self.shares[str(int(sure))] = (
                    whole if spoilt else [whole[0] + int(to_canary), whole[1] + int(to_primary)]
                )
        self.unsure[-1][2 if canary else 3] += n

    def meet(self, release: str, *, t: float, n: int = 1, stale: bool = False) -> None:
        """`n` requests went to a canary of `release`. `stale`: they may be of the attempt before."""
        if not self.release or (self.assumed and release != self.release):
            self.strangers += 0 if stale or release == self.hint else n
            if release == self.hint or (not stale and (not self.hint or self.strangers > _STRANGERS)):
                self.release, self.assumed = release, False
        if not self.release or (self.assumed and release != self.release):
            return
        if release == self.release:
            self.assumed = False
            self.exposed = t if self.exposed is None else self.exposed
        elif self.baking is not None:
            self.over = True
        else:
            self.superseded = release

    def assume(self, *, t: float) -> None:
        """Canary outcomes came without a release: they are the hint's, or an unnamed canary's."""
        if not self.release:
            self.release, self.assumed = self.hint or _UNNAMED, True
        self.exposed = t if self.exposed is None else self.exposed

    def step(self, line: Line) -> int | None:
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

    def steps(self, lines: Lines) -> Ints:
        """`step` for each line, NOWHERE where it counts for nothing. Shape (N,). Nothing is learnt."""
        step = np.full(len(lines), NOWHERE, dtype=np.int64)
        if not self.release:
            return step
        own = lines.release == lines.code(self.release)
        stale = (lines.epoch > 0) & (lines.epoch <= self.after_epoch)
        routed = (lines.weight > 0) & np.where(lines.to_canary, own, ~own & ~stale)
        step[routed] = lines.weight[routed]
        step[own & ~lines.to_canary] = BAKED
        return step

    def next_news(self, lines: Lines, begin: int) -> int:
        """The first line from `begin` on that tells something new of weights or releases; len(lines) if none does."""
        rest = lines[begin:]
        own = rest.release == rest.code(self.release) if self.release else np.zeros(len(rest), dtype=np.bool_)
        timely = rest.epoch >= self.epoch
        news = timely & ((rest.epoch > self.epoch) | (rest.weight != self.weight))
        if not self.release or self.assumed or self.exposed is None:
            news |= timely & rest.to_canary
        else:
            news |= timely & rest.to_canary & ~own
        if self.release:
            if self.baking is None:
                news |= timely & ~rest.to_canary & own
            known = np.isin(np.arange(len(rest.names)), [rest.code(name) for name in self.baseline])[rest.release]
            stale = (rest.epoch > 0) & (rest.epoch <= self.after_epoch)
            news |= ~rest.to_canary & ~own & ~known & ~stale & (rest.weight > 0)
        return begin + int(np.argmax(news)) if news.any() else len(lines)

    def routed_in(self, label: Label) -> int | None:
        """The step in which a vote's prediction was routed; None where it was nobody's here."""
        if not self.release or (label.release != self.release and label.release not in self.baseline):
            return None
        if self.baking is not None and label.release == self.release and label.predicted_at >= self.baking:
            return BAKED
        in_force = [weight for t, _, weight in self.weights if t <= label.predicted_at]
        return int(in_force[-1]) if in_force and in_force[-1] > 0 else None

    def count_canary(self, step: int, *, n: int, failed: int) -> None:
        self.routed[str(step)] = self.routed.get(str(step), 0) + n
        self.failed += failed
