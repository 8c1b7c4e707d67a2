"""Evidence on one arm's own rate of "bad", and on the shares in which units were routed.

Sources: beta-binomial mixtures as test martingales: Robbins 1970, Howard et al. 2021; the sample ratio:
Lindon & Malek 2022.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betaln

from coalmine.judge.evidence.combine import Floats, first_and_last, logsumexp

Ints = NDArray[np.int64] | int
_Reals = NDArray[np.floating] | float

_PRIOR = (0.5, 50.0)
_WIDE = (0.5, 0.5)
_LOGITS = np.arange(-460, 461) * 0.025
RATES: Floats = np.asarray(1.0 / (1.0 + np.exp(-_LOGITS)), dtype=np.float64)
_RATE_ENDS: Floats = np.concatenate([[0.0], RATES[1:-1], [1.0]])
_LEAST = 1e-280
_LN_RATE, _LN_REST = np.log(RATES), np.log1p(-RATES)


def rate_masks(n: NDArray[np.int64], e: NDArray[np.int64], alpha: float) -> NDArray[np.bool_]:
    """The points of RATES that a confidence sequence for one arm's rate keeps, for each of `n` outcomes with `e` bad
    ones, both (K,): all p whose likelihood is above alpha times that of the mixture Beta(1/2, 1/2) (Robbins 1970). It
    holds for a rate that stays the same. Shape (K, RATES).
    """
    a, b = _WIDE
    line = betaln(a + e, b + n - e) - betaln(a, b) + math.log(alpha)
    return np.asarray(e[:, None] * _LN_RATE + (n - e)[:, None] * _LN_REST > line[:, None], dtype=np.bool_)


def rate_ends(masks: NDArray[np.bool_]) -> list[tuple[float, float] | None]:
    """Of each row of `masks` (K, RATES) the lowest and highest rate kept, 0 and 1 where the grid ends; None: nothing
    is left, the rate has moved.
    """
    return first_and_last(masks, _RATE_ENDS)


def log_e_tolerated(n: Ints, e: Ints, p_ok: float) -> Floats:
    """H0: p >= p_ok. Beta-binomial mixture with the prior Beta(.5, 50) cut to p < p_ok. `n` and `e` of one shape."""
    a, b = _PRIOR
    inside = betaln(a + e, b + n - e) + log_betainc(a + e, b + n - e, p_ok)
    return np.asarray(inside - _log_prior(a, b, p_ok) - _log_likelihood(n, e, p_ok), dtype=np.float64)


def log_e_intolerable(n: Ints, e: Ints, p_ok: float) -> Floats:
    """The mirror, H0: p <= p_ok. Half of the prior is Beta(.5, 50), half Beta(.5, .5), each cut to p > p_ok: the
    first finds a rate a little too high, the second an outage, and the half costs ln 2.
    """
    above, below = np.add.outer([_PRIOR[0], _WIDE[0]], e), np.add.outer([_PRIOR[1], _WIDE[1]], np.subtract(n, e))
    inside = (betaln(above, below) + log_betainc(below, above, 1.0 - p_ok)).T - _log_priors_above(p_ok)
    mixed = np.logaddexp.reduce(inside.T, axis=0) - math.log(2.0)
    return np.asarray(mixed - _log_likelihood(n, e, p_ok), dtype=np.float64)


@lru_cache(maxsize=256)
def _log_priors_above(p: float) -> Floats:
    """As _log_prior, of both priors, above p."""
    return np.array([_log_prior(b, a, 1.0 - p) for a, b in (_PRIOR, _WIDE)])


@lru_cache(maxsize=256)
def _log_prior(a: float, b: float, p: float) -> float:
    """ln of what the prior Beta(a, b) has below p, times B(a, b)."""
    return float(betaln(a, b) + log_betainc(a, b, p))


def _log_likelihood(n: Ints, e: Ints, p: float) -> Floats:
    return np.asarray(e * math.log(p) + (n - e) * math.log1p(-p), dtype=np.float64)


def log_betainc(a: _Reals, b: _Reals, x: float) -> Floats:
    """ln I_x(a, b), also where I itself is too small for a float."""
    value = betainc(a, b, x)
    above = np.minimum(betaincc(a, b, x), 0.5)
    found = np.where(value < 0.5, np.log(np.maximum(value, _LEAST)), np.log1p(-above))
    if value.min() <= _LEAST:
        for place in map(tuple, np.argwhere(value <= _LEAST)):
            near, far = (float(each[place]) for each in np.broadcast_arrays(a, b))
            found[place] = _far_below(near, far, x)
    return np.asarray(found, dtype=np.float64)


def _far_below(a: float, b: float, x: float) -> float:
    """ln I_x(a, b) where x lies far below the mean: the series x^a (1-x)^b / (a B(a, b)) * 2F1(a+b, 1; a+1; x) then
    converges like a geometric one.
    """
    k = np.arange(4096)
    factors = np.log((a + b + k) / (a + 1.0 + k) * x)
    series = logsumexp(np.concatenate([[0.0], np.cumsum(factors)]))
    return float(a * math.log(x) + b * math.log1p(-x) - math.log(a) - betaln(a, b) + series)


def log_e_sample_ratio(n_c: int, n_b: int, share: float, *, strength: float = 100.0) -> float:
    """H0: the canary gets `share` of the completed requests. Dirichlet-multinomial with a = strength * (share,
    1 - share). It pauses and alarms; it never rolls back.
    """
    a, b = strength * share, strength * (1.0 - share)
    null = n_c * math.log(share) + n_b * math.log1p(-share)
    return float(betaln(a + n_c, b + n_b) - betaln(a, b) - null)
