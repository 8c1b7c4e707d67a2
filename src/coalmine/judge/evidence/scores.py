"""Evidence on the difference of two means of numbers between 0 and 1 (badness: 0 best, 1 worst).

For X in [0, 1] with mean mu, any guess g made before X, and 0 <= a < 1, the expectation of
exp(a (X - mu) - psi(a) (X - g)^2) with psi(a) = -ln(1 - a) - a is at most 1, and likewise for mu - X (Fan, Grama & Liu
2015; Howard et al. 2021, empirical Bernstein). The two arms' factors multiply; with a_c n_c = a_b n_b their product
speaks on the difference of the means alone, which may then drift together. The strength a is mixed over a grid.
"""

from __future__ import annotations

import math

import numpy as np

from coalmine.judge.evidence.combine import Floats, logsumexp

STRENGTHS: Floats = np.geomspace(0.004, 0.9, 28)
WIDTH = STRENGTHS.size + 2  # of a row: sum of m (mean_c - mean_b), sum of m, then the penalty at each strength
UNIT = 1_000_000  # sums are whole numbers of millionths
_DIFFERENCES: Floats = np.linspace(-1.0, 1.0, 401)
Sums = tuple[int, int, int]  # outcomes, sum and sum of squares in millionths


def score_row(canary: Sums, baseline: Sums, *, guesses: tuple[float, float]) -> Floats:
    """What one poll adds to a row (WIDTH long). `guesses`: each arm's mean as known before the poll."""
    n_c, n_b = canary[0], baseline[0]
    if not n_c or not n_b:
        return np.zeros(WIDTH)
    least = min(n_c, n_b)
    penalty = _psi(STRENGTHS * (least / n_c)) * _spread(canary, guesses[0])
    penalty += _psi(STRENGTHS * (least / n_b)) * _spread(baseline, guesses[1])
    ahead = least * (canary[1] / n_c - baseline[1] / n_b) / UNIT
    return np.concatenate([[ahead, float(least)], penalty])


def guess(n: int, total: int) -> float:
    """The mean as known from `n` outcomes, drawn to 1/2 where there are few."""
    return (total / UNIT + 0.5) / (n + 1.0)


def log_e_worse(rows: Floats, margin: float) -> Floats:
    """H0: the canary's mean badness is at most `margin` above the baseline's. Rows (..., WIDTH) give (...)."""
    return _mixed(rows[..., :1] - margin * rows[..., 1:2], rows)


def log_e_not_worse(rows: Floats, margin: float) -> Floats:
    """H0: the canary's mean badness is at least `margin` above the baseline's."""
    return _mixed(margin * rows[..., 1:2] - rows[..., :1], rows)


def difference_band(row: Floats, alpha: float) -> tuple[float, float]:
    """Confidence sequence of the difference of the means, alpha/2 to each side, on a grid of 0.005."""
    line = math.log(2.0 / alpha)
    up = _mixed((row[0] - _DIFFERENCES * row[1])[:, None], row)
    down = _mixed((_DIFFERENCES * row[1] - row[0])[:, None], row)
    kept = _DIFFERENCES[(up < line) & (down < line)]
    return (float(kept[0]), float(kept[-1])) if kept.size else (-1.0, 1.0)


def _mixed(ahead: Floats, rows: Floats) -> Floats:
    return np.asarray(logsumexp(STRENGTHS * ahead - rows[..., 2:]) - math.log(STRENGTHS.size), dtype=np.float64)


def _psi(strength: Floats) -> Floats:
    return np.asarray(-np.log1p(-strength) - strength, dtype=np.float64)


def _spread(arm: Sums, mean: float) -> float:
    """Sum of (X - mean)^2; a sum of squares rounded too low cannot make it negative."""
    n, total, squares = arm
    return max(0.0, (squares - 2.0 * mean * total) / UNIT + n * mean * mean)
