"""What counters rose by, gathered per metric and arm until it makes whole outcomes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from coalmine.judge.policy.metrics import Counts, Latency, Metric, Mix

Cells = dict[str, dict[str, float]]  # by arm, then by what is counted


class Found(NamedTuple):
    """One arm's outcomes of one part."""

    arm: str
    part: str
    n: int
    e: int


@dataclass(slots=True)
class Tally:
    """Rises that are not yet outcomes, by metric. `dump` and `load` are exact."""

    cells: dict[str, Cells] = field(default_factory=dict)

    def dump(self) -> dict[str, Any]:
        return self.cells

    @classmethod
    def load(cls, data: dict[str, Any]) -> Tally:
        return cls(data)

    def add(self, metric: str, arm: str, what: str, rose: float) -> None:
        """`what`: "total", "bad", a class of a mix, or an edge's part of a latency (requests faster than it)."""
        cell = self.cells.setdefault(metric, {}).setdefault(arm, {})
        cell[what] = cell.get(what, 0.0) + rose

    def drop(self, metric: str) -> None:
        """Forget what is begun: requests of two weights make no slice."""
        self.cells.pop(metric, None)

    def take(self, name: str, metric: Metric) -> Iterator[Found]:
        """Whole outcomes; what is left waits for the next reading."""
        for arm, cell in self.cells.get(name, {}).items():
            if isinstance(metric, Latency):
                yield from _slices(cell, metric, arm)
            elif isinstance(metric, Mix):
                yield from _classes(cell, metric, arm)
            else:
                yield from _plain(cell, arm, capped=not isinstance(metric, Counts))


def _whole(number: float) -> int:
    return math.floor(number + 1e-6)


def _plain(cell: dict[str, float], arm: str, *, capped: bool) -> Iterator[Found]:
    """Of a failure that was scraped before its request the request is still to come: it waits."""
    n = _whole(cell.get("total", 0.0))
    if n <= 0:
        return
    e = _whole(cell.get("bad", 0.0))
    e = min(n, e) if capped else e
    cell["total"] -= n
    cell["bad"] = cell.get("bad", 0.0) - e
    yield Found(arm, "", n, e)


def _slices(cell: dict[str, float], metric: Latency, arm: str) -> Iterator[Found]:
    """One slice for each reading with enough requests: bad where over `share` of them were slower than the edge."""
    n = cell.get("total", 0.0)
    if n < metric.slice_requests:
        return
    for part in metric.parts:
        slow = n - cell.get(f"<{part}", 0.0)
        yield Found(arm, part, 1, int(slow > metric.share * n + 1e-6))
    cell.clear()


def _classes(cell: dict[str, float], metric: Mix, arm: str) -> Iterator[Found]:
    """Each class against all the others; one that the policy does not name is only among the others."""
    counts = {label: _whole(value) for label, value in cell.items()}
    n = sum(counts.values())
    if n <= 0:
        return
    for label, count in counts.items():
        cell[label] -= count
    for part in metric.parts:
        yield Found(arm, part, n, counts.get(part, 0))
