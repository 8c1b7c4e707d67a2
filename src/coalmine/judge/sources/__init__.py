"""Where outcomes come from. A source that is down gives no data, and no data holds the canary: it is never health.

A source reads on from a position and says where it got to. It keeps nothing that matters: the position is stored in
the same transaction as what was counted from it, so that nothing is counted twice or lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from coalmine.judge.sources.lines import Line, Lines, user_number

__all__ = ["Batch", "Label", "Line", "Lines", "Outcomes", "Position", "Source", "user_number"]

Position = dict[str, int | str]
Item_co = TypeVar("Item_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Batch(Generic[Item_co]):
    """What was new, where to read on, whether there is more at once, and what could not be read."""

    items: Sequence[Item_co]
    position: Position | None
    more: bool = False
    skipped: int = 0


class Source(Protocol[Item_co]):
    """One method: read on from `position` (None: from now)."""

    def read(self, position: Position | None) -> Batch[Item_co]: ...


@dataclass(frozen=True, slots=True)
class Label:
    """The first vote on a prediction, for the release that the signed token names."""

    release: str
    predicted_at: float
    t: float
    good: bool
    user: str = ""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Counts of one metric in one arm since the reading before: what Prometheus and a push give.

    `e` is the number of bad outcomes, of events (counts), or a sum in millionths (score, with `q` for the squares).
    """

    namespace: str
    name: str
    t: float
    metric: str
    arm: str  # "primary" or "canary"
    n: int
    e: int
    q: int = 0
    part: str = ""
    release: str = ""  # where the source knows it
    weight: int | None = None  # where the source knows it: the weight at which these were routed
