"""From a distance to an alarm whose rate of false ones is stated beforehand. Pure; numpy only.

1. A window's distance is ranked among those of parts of the same size drawn by lot from the bag: reference and earlier
   windows and this one together. If nothing has changed, all rows of the bag are exchangeable, and the rank is a valid
   p-value whatever the distance is. The window then joins the bag, so that the next one's rank is independent of it.
2. A p-value becomes a bet: the integral of k p^(k-1) over k from 0 to 1 has mean 1 if p is uniform.
3. The bets of all windows since a start are multiplied; starts are mixed with weights 1/(s(s+1)), so that a change that
   comes late need not win back what was bet before. The mixture E is a nonnegative martingale from 1: it ever reaches
   1/alpha with probability alpha at most (Ville), however often and however long one looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from coalmine.drift.distances import Floats, Ints


@dataclass(frozen=True, slots=True)
class Evidence:
    """E after `windows` windows: of the starts so far, and the weight of those yet to come."""

    started: float = 0.0
    windows: int = 0

    @property
    def e(self) -> float:
        """The evidence: odds against "nothing has changed"."""
        return self.started + 1 / (self.windows + 1)

    def bet(self, p: float) -> Evidence:
        """After one more window with this p-value."""
        number = self.windows + 1
        return Evidence((self.started + 1 / (number * (number + 1))) * calibrator(p), number)


def calibrator(p: float) -> float:
    """(1 - p + p ln p) / (p ln^2 p): decreasing, with integral 1 over (0, 1]; one half at p = 1."""
    if not 0 < p <= 1:
        raise ValueError(f"{p} is no p-value above 0")
    log = math.log(p)
    if log > -1e-4:  # numerator and denominator vanish together: the series at 1
        return 0.5 - log / 6
    return (1 - p + p * log) / (p * log * log)


def threshold(alpha: float, *, signals: int) -> float:
    """What E must reach: alpha is shared equally between the signals of one tenant (Bonferroni)."""
    return signals / alpha


def draw_parts(rows: int, *, window: int, count: int, rng: np.random.Generator) -> Ints:
    """The window itself, the last `window` rows, and then `count` parts of that size drawn by lot."""
    drawn = np.argpartition(rng.random((count, rows), dtype=np.float32), window - 1, axis=1)[:, :window]
    return np.concatenate((np.arange(rows - window, rows)[None, :], drawn))


def rank(distances: Floats, *, rng: np.random.Generator) -> float:
    """The p-value of the first distance among all; ties are broken by lot, so that it is uniform if nothing changed."""
    first = distances[0]
    tied = np.isclose(distances[1:], first, rtol=1e-9, atol=1e-12)
    above = int(((distances[1:] > first) & ~tied).sum())
    return (above + 1 + int(rng.integers(0, int(tied.sum()) + 1))) / len(distances)
