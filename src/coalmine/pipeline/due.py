"""Whether a run is due: a pure function of the policy and what is known now."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from coalmine.pipeline.policy import When

HOUR = 3600.0


class Reason(StrEnum):
    """Why a run began."""

    HAND = "hand"
    DRIFT = "drift"
    LABELS = "labels"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at `now`. None is no data: labels that cannot be counted start nothing, and are told."""

    now: float
    open_run: str = ""  # the id of a run that goes on
    rolling: bool = False  # a canary is on its way
    last_started: float | None = None
    labels: int | None = None  # since the last run began
    drifted: str = ""  # what drifted, in words; an alarm raised since the last run began


@dataclass(frozen=True, slots=True)
class Due:
    """The answer. `why` is a sentence with the numbers, for either answer."""

    reason: Reason | None
    why: str

    def __bool__(self) -> bool:
        return self.reason is not None


def due(when: When, facts: Facts, *, by_hand: bool = False) -> Due:
    """One at a time always; by hand at once; else not within the pause, nor while a canary is on its way."""
    if facts.open_run:
        return Due(None, f"run {facts.open_run} goes on")
    if by_hand:
        return Due(Reason.HAND, "asked for by hand")
    if held := _held(when, facts):
        return Due(None, held)
    return _asked(when, facts)


def _held(when: When, facts: Facts) -> str:
    """What speaks against any run that nobody asked for by hand."""
    if facts.rolling:
        return "a canary is on its way"
    since = _since(facts)
    if since is not None and since < when.pause_minutes * 60:
        return f"the last run began {since / 60:.1f} minutes ago, the pause is {when.pause_minutes:g}"
    return ""


def _asked(when: When, facts: Facts) -> Due:
    """The first trigger that asks for one, the weightiest first."""
    if when.drift and facts.drifted:
        return Due(Reason.DRIFT, facts.drifted)
    if when.labels is not None and facts.labels is not None and facts.labels >= when.labels:
        return Due(Reason.LABELS, f"{facts.labels} new labels, {when.labels} are enough")
    since = _since(facts)
    if when.every_hours is not None and (since is None or since >= when.every_hours * HOUR):
        age = "no run yet" if since is None else f"the last run began {since / HOUR:.1f} hours ago"
        return Due(Reason.SCHEDULE, f"{age}, one each {when.every_hours:g} hours")
    return Due(None, f"nothing is due: {_counted(when, facts)}")


def _since(facts: Facts) -> float | None:
    return None if facts.last_started is None else facts.now - facts.last_started


def _counted(when: When, facts: Facts) -> str:
    if when.labels is None:
        return "labels start no run"
    if facts.labels is None:
        return "labels cannot be counted"
    return f"{facts.labels} of {when.labels} labels"
