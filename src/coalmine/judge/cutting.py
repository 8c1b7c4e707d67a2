"""Where a run of lines is cut into polls, found from columns: the cost is for each poll, not for each line.

It is the same as asking at each line "does this line's time begin the next poll?" and then adding its outcome
(tests/unit/judge/slow_counting.py does that).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coalmine.judge.fold import BAKED
from coalmine.judge.pending import LONGEST_POLL, Pending
from coalmine.judge.sources.lines import Bools, Floats, Ints
from coalmine.records import Poll


@dataclass(frozen=True, slots=True)
class Found:
    """K outcomes of one metric in a run of lines, in order: outcome k is added at line `at[k]`, after its time."""

    at: Ints
    t: Floats
    step: Ints
    canary: Bools
    bad: tuple[Bools, ...]  # for each part


@dataclass(frozen=True, slots=True)
class Rules:
    """When a metric's polls are full."""

    metric: str
    parts: tuple[str, ...]
    outcomes: int
    seconds: float


class Run:
    """One metric's outcomes in one run of lines whose times are `ticks`, going into its pending poll."""

    def __init__(self, pending: Pending, ticks: Floats, found: Found, *, rules: Rules) -> None:
        self._pending, self._ticks, self._found, self._rules = pending, ticks, found, rules
        self._places: dict[int, tuple[Ints, Ints]] = {}
        for step in _distinct(found.step):
            here = found.step == step
            canary, primary = np.flatnonzero(here & found.canary), np.flatnonzero(here & ~found.canary)
            self._places[step] = (canary, primary)
        self._added = 0  # outcomes before this one are in the pending poll or cut
        self._look_from(0)

    def cut(self, *, changed: bool) -> list[tuple[int, list[Poll]]]:
        """The polls that the run completes, each with the line that began the next. `changed`: at its first line."""
        polls: list[tuple[int, list[Poll]]] = []
        pending, tick = self._pending, 0
        if changed and pending.cells and self._ticks[0] > pending.t:
            polls.append((0, pending.cut(self._rules.metric)))
        while True:
            if not pending.cells:
                if self._added == len(self._found.at):
                    return polls
                tick = int(self._found.at[self._added]) + 1
                self._begin()
            cut = self._first_due(tick)
            self._add(len(self._found.at) if cut is None else int(np.searchsorted(self._found.at, cut)))
            if cut is None:
                return polls
            polls.append((cut, pending.cut(self._rules.metric)))

    def _look_from(self, line: int) -> None:
        """Running maxima over the lines from `line` on, and over the outcomes from the next one on."""
        ticks, found = self._ticks[line:], self._found
        at, t = found.at[self._added :], found.t[self._added :]
        start = self._carried = self._pending.t if self._pending.cells else -np.inf
        known = np.full(len(ticks) + 1, -np.inf)
        known[0] = start
        known[at - line + 1] = t
        known = np.maximum.accumulate(known)
        self._line, self._first = line, self._added
        self._newest = np.maximum.accumulate(ticks)
        self._known = np.maximum(np.maximum.accumulate(t), start) if len(t) else t
        self._fresh = np.flatnonzero(ticks > known[:-1]) + line

    def _begin(self) -> None:
        """The next outcome begins a poll. What came before it must not be taken for a part of it."""
        place = self._added
        start, line = float(self._found.t[place]), int(self._found.at[place])
        self._pending.start = self._pending.t = start
        known = self._known[place - self._first - 1] if place > self._first else self._carried
        newest = self._newest[line - self._line - 1] if line > self._line else -np.inf
        if known > start or newest - start > LONGEST_POLL:
            self._look_from(line)

    def _first_due(self, tick: int) -> int | None:
        """The first line from `tick` on whose time begins the next poll."""
        start, rules = self._pending.start, self._rules
        last = len(self._ticks)
        late = self._line + _first(self._newest, start, LONGEST_POLL, strict=True)
        for line in self._fresh[np.searchsorted(self._fresh, max(late, tick)) :]:
            if self._ticks[line] - start > LONGEST_POLL:
                last = int(line)
                break
        full = self._full(rules.outcomes)
        if full is not None:
            after = tick if full < self._added else int(self._found.at[full]) + 1
            place = int(np.searchsorted(self._fresh, max(after, tick)))
            if place < len(self._fresh):
                last = min(last, int(self._fresh[place]))
        return last if last < len(self._ticks) else None

    def _full(self, outcomes: int) -> int | None:
        """The outcome with which the poll is full, -1 where it was before; None where it never is."""
        enough = [
            place for step in {*self._places, *self._steps()} if (place := self._enough(step, outcomes)) is not None
        ]
        if not enough:
            return None
        pending = self._pending
        if pending.t - pending.start >= self._rules.seconds:
            return min(enough)
        long = self._first + _first(self._known, pending.start, self._rules.seconds, strict=False)
        long = max(long, self._added)
        return max(min(enough), long) if long < len(self._found.at) else None

    def _steps(self) -> list[int]:
        return [int(key.partition("/")[0]) for key in self._pending.cells]

    def _enough(self, step: int, outcomes: int) -> int | None:
        """The outcome with which both arms of a step have enough; -1 where they have it already."""
        part = self._rules.parts[0]
        cell = self._pending.cells.get(f"{step}/{part}" if part else str(step), [0, 0, 0, 0, 0, 0])
        found = -1
        for arm, places in enumerate(self._places.get(step, (_NOTHING, _NOTHING))):
            missing = outcomes - cell[2 * arm]
            if missing <= 0 or (arm == 1 and step == BAKED):
                continue
            place = int(np.searchsorted(places, self._added)) + missing - 1
            if place >= len(places):
                return None
            found = max(found, int(places[place]))
        return found

    def _add(self, end: int) -> None:
        """Outcomes up to `end` go into the pending poll."""
        found, begin = self._found, self._added
        self._added = end
        if end == begin:
            return
        newest = float(found.t[begin:end].max())
        firsts = {step: int(np.argmax(found.step[begin:end] == step)) for step in _distinct(found.step[begin:end])}
        for step in sorted(firsts, key=firsts.__getitem__):
            here = found.step[begin:end] == step
            for part, bad in zip(self._rules.parts, found.bad, strict=True):
                for arm in (True, False):
                    mine = here & (found.canary[begin:end] == arm)
                    n, e = int(np.count_nonzero(mine)), int(np.count_nonzero(mine & bad[begin:end]))
                    self._put(step, canary=arm, n=n, e=e, part=part)
        self._pending.t = max(self._pending.t, newest)

    def _put(self, step: int, *, canary: bool, n: int, e: int, part: str) -> None:
        cell = self._pending.cells.setdefault(f"{step}/{part}" if part else str(step), [0, 0, 0, 0, 0, 0])
        cell[0 if canary else 2] += n
        cell[1 if canary else 3] += e


_NOTHING = np.zeros(0, dtype=np.int64)


def _distinct(steps: Ints) -> list[int]:
    if not len(steps):
        return []
    low = int(steps.min())
    return [low] if low == steps.max() else [int(step) for step in np.unique(steps)]


def _first(values: Floats, start: float, span: float, *, strict: bool) -> int:
    """The first place in the sorted `values` that is `span` (strict: more) after `start`, as they subtract."""
    place = int(np.searchsorted(values, start + span))
    while place and (values[place - 1] - start > span if strict else values[place - 1] - start >= span):
        place -= 1
    while place < len(values) and not (values[place] - start > span if strict else values[place] - start >= span):
        place += 1
    return place
