"""The fold: a signal's reference, then window after window -> evidence and a state. Pure; the lots are seeded.

The same reference, plan and rows give the same states, in however many looks they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

import numpy as np

from coalmine.drift import calibrate, signals
from coalmine.drift.calibrate import Evidence
from coalmine.drift.distances import Ints
from coalmine.drift.signals import Kind, Values

_TRAIL = 2000  # windows that are kept for the plot


class State(StrEnum):
    """What is said of one signal. "No data" is neither good nor bad."""

    ALARM = "alarm"
    HEALTHY = "healthy"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one tenant is watched. `alpha`: the probability of any false alarm, over all signals and looks."""

    alpha: float = 0.05
    window: int = 50
    reference: int = 600  # the fewest rows that a reference may have is four windows
    parts: int = 249  # drawn by lot for each window: three windows of the smallest p-value reach 240:1
    most: int = 2000  # rows of a bag; above it some are dropped by lot
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """One signal as it stands: its bag, rows that wait for their window to be full, and the evidence so far."""

    kind: Kind
    bag: Values
    pending: Values
    evidence: Evidence = field(default_factory=Evidence)
    seen: int = 0  # rows since the reference
    alarm_at: int = 0  # rows seen when the evidence reached the threshold; 0: it has not
    drivers: str = ""
    trail: tuple[tuple[int, float], ...] = ()  # rows seen, evidence then


def begin(columns: Mapping[str, tuple[Kind, Values]], plan: Plan) -> dict[str, Series]:
    """A series for each signal of the reference that has four windows' rows; the others would have no power."""
    return {
        name: Series(kind, values[: plan.most], values[:0])
        for name, (kind, values) in columns.items()
        if len(values) >= 4 * plan.window
    }


def look(
    series: Mapping[str, Series], columns: Mapping[str, tuple[Kind, Values]], plan: Plan, *, limit: float
) -> dict[str, Series]:
    """Add what came; each full window is judged once, against `limit`. What has no reference is not looked at."""
    found = {}
    for name, one in series.items():
        grown = _grown(name, one, *columns.get(name, (one.kind, one.pending[:0])))
        while len(grown.pending) >= plan.window:
            grown = _window(name, grown, plan, limit=limit)
        found[name] = grown
    return found


def _grown(name: str, one: Series, kind: Kind, fresh: Values) -> Series:
    """With the rows that came. Numbers that became texts, or vectors of another length, cannot be so by chance."""
    if kind is one.kind and fresh.shape[1:] == one.bag.shape[1:]:
        return replace(one, pending=np.concatenate((one.pending, fresh)))
    return replace(one, alarm_at=one.alarm_at or one.seen + 1, drivers=f"{name}: its values are of another kind")


def _window(name: str, one: Series, plan: Plan, *, limit: float) -> Series:
    taken, rest = one.pending[: plan.window], one.pending[plan.window :]
    number = one.evidence.windows
    bag = np.concatenate((one.bag, taken))
    parts = _parts(len(bag), plan.window, plan.parts, (plan.seed, number))
    lots = np.random.default_rng([plan.seed, number, *name.encode()])
    p = calibrate.rank(signals.distance(one.kind, bag, parts), rng=lots)
    evidence = one.evidence.bet(p)
    seen = one.seen + plan.window
    alarmed = not one.alarm_at and evidence.e >= limit
    if len(bag) > plan.most:  # by lot: what stays is exchangeable with what comes
        bag = bag[np.sort(lots.choice(len(bag), plan.most, replace=False))]
    return replace(
        one,
        bag=bag,
        pending=rest,
        evidence=evidence,
        seen=seen,
        alarm_at=seen if alarmed else one.alarm_at,
        drivers=signals.drivers(name, one.kind, taken, one.bag) if alarmed else one.drivers,
        trail=(*one.trail, (seen, evidence.e))[-_TRAIL:],
    )


@lru_cache(maxsize=2)
def _parts(rows: int, window: int, count: int, seed: tuple[int, int]) -> Ints:
    """Shared by the signals of one look: their alarms are added up, and need not be independent."""
    return calibrate.draw_parts(rows, window=window, count=count, rng=np.random.default_rng(seed))


def state(one: Series) -> State:
    """An alarm stays until there is a new reference."""
    if one.alarm_at:
        return State.ALARM
    return State.HEALTHY if one.seen else State.NO_DATA


def worst(states: list[State]) -> State:
    """Of several: an alarm is one for all of them; nothing seen anywhere is no data."""
    return next((one for one in (State.ALARM, State.HEALTHY) if one in states), State.NO_DATA)
