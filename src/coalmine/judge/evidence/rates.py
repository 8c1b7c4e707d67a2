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

from coalmine.judge.evidence.combine import Floats, logsumexp

_PRIOR = (0.5, 50.0)
_WIDE = (0.5, 0.5)
_LOGITS = np.arange(-460, 461) * 0.025
RATES: Floats = np.asarray(1.0 / (1.0 + np.exp(-_LOGITS)), dtype=np.float64)
_LN_RATE, _LN_REST = np.log(RATES), np.log1p(-RATES)


def rate_masks(n: NDArray[np.int64], e: NDArray[np.int64], alpha: float) -> NDArray[np.bool_]:
    """The points of RATES that a confidence sequence for one arm's rate keeps, for each of `n` outcomes with `e` bad
    ones, both (K,): all p whose likelihood is above alpha times that of the mixture Beta(1/2, 1/2) (Robbins 1970). It
    holds for a rate that stays the same. Shape (K, RATES).
    """
    a, b = _WIDE
    line = betaln(a + e, b + n - e) - betaln(a, b) + math.log(alpha)
    return np.asarray(e[:, None] * _LN_RATE + (n - e)[:, None] * _LN_REST > line[:, None], dtype=np.bool_)


def rate_ends(mask: NDArray[np.bool_]) -> tuple[float, float] | None:
    """The lowest and highest rate kept, 0 and 1 where the grid ends; None: nothing is left, the rate has moved."""
    kept = np.flatnonzero(mask)
    if not kept.size:
        return None
    low, high = int(kept[0]), int(kept[-1])
    return (float(RATES[low]) if low else 0.0, float(RATES[high]) if high < RATES.size - 1 else 1.0)


def log_e_tolerated(n: int, e: int, p_ok: float) -> float:
    """H0: p >= p_ok. Beta-binomial mixture with the prior Beta(.5, 50) cut to p < p_ok."""
    a, b = _PRIOR
    inside = betaln(a + e, b + n - e) + log_betainc(a + e, b + n - e, p_ok)
    return float(inside - _log_prior(a, b, p_ok) - _log_likelihood(n, e, p_ok))


def log_e_intolerable(n: int, e: int, p_ok: float) -> float:
    """The mirror, H0: p <= p_ok. Half of the prior is Beta(.5, 50), half Beta(.5, .5), each cut to p > p_ok: the
    first finds a rate a little too high, the second an outage, and the half costs ln 2.
    """
    near, far = (_log_above(n, e, p_ok, a=a, b=b) for a, b in (_PRIOR, _WIDE))
    return float(np.logaddexp(near, far) - math.log(2.0) - _log_likelihood(n, e, p_ok))


def _log_above(n: int, e: int, p_ok: float, *, a: float, b: float) -> float:
    """ln of the marginal likelihood under Beta(a, b) cut to p > p_ok."""
    upper = log_betainc(b + n - e, a + e, 1.0 - p_ok)
    return float(betaln(a + e, b + n - e) + upper - _log_prior(b, a, 1.0 - p_ok))


@lru_cache(maxsize=256)
def _log_prior(a: float, b: float, p: float) -> float:
    """ln of what the prior Beta(a, b) has below p, times B(a, b)."""
    return float(betaln(a, b)) + log_betainc(a, b, p)


def _log_likelihood(n: int, e: int, p: float) -> float:
    return e * math.log(p) + (n - e) * math.log1p(-p)


def log_betainc(a: float, b: float, x: float) -> float:
    """ln I_x(a, b), also where I itself is too small for a float: x then lies far below the mean, and the series
    x^a (1-x)^b / (a B(a, b)) * 2F1(a+b, 1; a+1; x) converges like a geometric one.
    """
    value = float(betainc(a, b, x))
    if value > 1e-280:
        return math.log(value) if value < 0.5 else math.log1p(-float(betaincc(a, b, x)))
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
