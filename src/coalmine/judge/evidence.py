"""Anytime-valid evidence on one metric: numbers in, numbers out, no I/O and no clock.

`psi` is the odds ratio of "bad", canary against baseline, and g = ln psi. All evidence is the natural logarithm
of an e-value: its expectation under the null hypothesis is at most 1 at whatever poll one looks (Ville's inequality
bounds the chance that it ever reaches 1/alpha by alpha).

Sources of the methods: Fisher's non-central hypergeometric law is the law of the canary's failures given both
margins (Fisher 1935; Cornfield 1956); mixtures of likelihood ratios as test martingales: Robbins 1970; e-values and
their averages: Vovk & Wang 2021; confidence sequences with a running intersection: Howard et al. 2021; that the law is
a sum of independent Bernoulli variables, on which the windowed sum rests: Vatutin & Mikhailov 1982.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betaln

Floats = NDArray[np.float64]

GRID: Floats = np.arange(-160, 161, dtype=np.float64) * np.float64(0.05)
POINTS = GRID.size + 2  # the grid, then exactly ln psi0, then exactly ln psiM
_SMALL = 192  # up to this many terms the whole sum is cheaper than finding a window
_PRIOR = (0.5, 50.0)
_WIDE = (0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Priors:
    """Log weights over GRID (-inf where a prior puts nothing) and the POINTS at which likelihoods are kept."""

    points: Floats
    rollback: Floats
    promote: Floats
    band: Floats


@lru_cache(maxsize=256)
def priors(odds_ratio_rollback: float, odds_ratio_promote: float) -> Priors:
    """The README's three mixtures, each normalised over the grid points that it covers."""
    low, high = math.log(odds_ratio_rollback), math.log(odds_ratio_promote)
    above, below = low + 1e-12 < GRID, high - 1e-12 > GRID
    with np.errstate(divide="ignore"):
        rollback = np.log(_normalised(np.where(above, np.exp(-(GRID - low) / 1.5), 0.0)))
        bell = _normalised(np.where(below, np.exp(-0.5 * (GRID / 0.25) ** 2), 0.0))
        promote = np.log(0.7 * bell + 0.3 * _normalised(below.astype(np.float64)))
        band = np.log(_normalised(np.exp(-np.abs(GRID) / 1.5)))
    return Priors(np.concatenate([GRID, [low, high]]), rollback, promote, band)


def _normalised(weights: Floats) -> Floats:
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def fnch_log_pmf(poll: tuple[int, int, int, int], ln_psi: Floats) -> Floats:
    """ln FNCH(e_c; psi) of one poll (n_c, e_c, n_b, e_b) at each ln psi; zeros where a poll can teach nothing.

    The coefficients come from their ratios, so nothing overflows. A long support is summed only within reach of
    its mode, and only at every h-th term: for a sum of independent Bernoulli variables with variance v that
    residue class holds 1/h of the mass up to exp(-v (1 - cos(2 pi/h))), below 1e-13 for h <= sd/2.
    """
    n_c, e_c, n_b, e_b = poll
    m = e_c + e_b
    low, high = max(0, m - n_b), min(m, n_c)
    if low == high:
        return np.zeros_like(ln_psi)
    j = np.arange(low + 1, high + 1, dtype=np.float64)
    ratios = np.log((n_c - j + 1) * (m - j + 1) / (j * (n_b - m + j)))
    weights = np.concatenate([[0.0], np.cumsum(ratios)])
    k = e_c - low
    if weights.size <= _SMALL:
        terms = weights + np.arange(weights.size) * ln_psi[:, None]
        return np.asarray(weights[k] + k * ln_psi - _logsumexp(terms), dtype=np.float64)
    return np.asarray(weights[k] + k * ln_psi - _windowed(weights, ratios, ln_psi), dtype=np.float64)


def _windowed(weights: Floats, ratios: Floats, ln_psi: Floats) -> Floats:
    """ln sum_j exp(weights[j] + j ln psi) for each ln psi, without visiting the whole support."""
    mode = np.searchsorted(-ratios, ln_psi)  # ratios fall with j: the law is log-concave
    inner = np.clip(mode, 1, ratios.size - 1)
    variance = 1.0 / np.maximum(ratios[inner - 1] - ratios[inner], 1e-12)
    stride = np.maximum(1, (0.5 * np.sqrt(variance)).astype(np.int64))
    reach = 16.0 + np.sqrt(196.0 + 84.0 * variance)  # Bernstein: outside lies less than exp(-42)
    count = int(np.ceil(reach / stride).max())
    index = mode[:, None] + stride[:, None] * np.arange(-count, count + 1)
    inside = (index >= 0) & (index < weights.size)
    clipped = np.where(inside, index, 0)
    centre = weights[mode] + mode * ln_psi
    terms = weights[clipped] - weights[mode][:, None] + (index - mode[:, None]) * ln_psi[:, None]
    return np.asarray(centre + _logsumexp(np.where(inside, terms, -np.inf)) + np.log(stride), dtype=np.float64)


def _logsumexp(terms: Floats) -> Floats:
    """Over the last axis. SciPy's own costs more than the sum itself on arrays this small."""
    peak = terms.max(axis=-1, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(terms - peak).sum(axis=-1)) + peak[..., 0], dtype=np.float64)


# ---- from the likelihood vector L (POINTS long, or a stack of such) ----------------------------------------------


def log_e_rollback(likelihood: Floats, prior: Priors) -> Floats:
    """H0: psi <= psi0 in every poll."""
    return _logsumexp(prior.rollback + likelihood[..., :-2] - likelihood[..., -2:-1])


def log_e_promote(likelihood: Floats, prior: Priors) -> Floats:
    """H0: psi >= psiM in every poll."""
    return _logsumexp(prior.promote + likelihood[..., :-2] - likelihood[..., -1:])


def log_e_restarted(by_step: Floats) -> float:
    """Mix E_j, the log e-values since the start of step j = 1..J, as sum E_j/(j(j+1)) + 1/(J+1): a late fault is
    not drowned by what went well before it. With no step yet it is 0.
    """
    count = by_step.size
    j = np.arange(1, count + 1)
    return float(_logsumexp(np.append(by_step - np.log(j * (j + 1.0)), -math.log(count + 1.0))))


def since_step(by_step: Floats) -> Floats:
    """Row j: the sum of rows j.. of `by_step` (what was learned since step j began)."""
    return np.asarray(np.cumsum(by_step[::-1], axis=0)[::-1], dtype=by_step.dtype)


def confidence_mask(likelihood: Floats, prior: Priors, alpha: float) -> NDArray[np.bool_]:
    """The grid points that the confidence sequence keeps at this moment, before any intersection."""
    on_grid = likelihood[:-2]
    return np.asarray(on_grid > _logsumexp(on_grid + prior.band) + math.log(alpha), dtype=np.bool_)


def ends(mask: NDArray[np.bool_]) -> tuple[float, float] | None:
    """The lowest and highest ln psi kept; None when nothing is left: psi changed during the rollout."""
    kept = np.flatnonzero(mask)
    return (float(GRID[kept[0]]), float(GRID[kept[-1]])) if kept.size else None


# ---- from the canary's own totals --------------------------------------------------------------------------------


def log_e_tolerated(n: int, e: int, p_ok: float) -> float:
    """H0: p >= p_ok. Beta-binomial mixture with the prior Beta(.5, 50) cut to p < p_ok."""
    a, b = _PRIOR
    inside = betaln(a + e, b + n - e) + log_betainc(a + e, b + n - e, p_ok)
    return float(inside - betaln(a, b) - log_betainc(a, b, p_ok) - _log_likelihood(n, e, p_ok))


def log_e_intolerable(n: int, e: int, p_ok: float) -> float:
    """The mirror, H0: p <= p_ok. Half of the prior is Beta(.5, 50), half Beta(.5, .5), each cut to p > p_ok: the
    first finds a rate a little too high, the second an outage, and the half costs ln 2.
    """
    near, far = (_log_above(n, e, p_ok, a=a, b=b) for a, b in (_PRIOR, _WIDE))
    return float(np.logaddexp(near, far) - math.log(2.0) - _log_likelihood(n, e, p_ok))


def _log_above(n: int, e: int, p_ok: float, *, a: float, b: float) -> float:
    """ln of the marginal likelihood under Beta(a, b) cut to p > p_ok."""
    upper = log_betainc(b + n - e, a + e, 1.0 - p_ok)
    return float(betaln(a + e, b + n - e) + upper - betaln(a, b) - log_betainc(b, a, 1.0 - p_ok))


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
    series = _logsumexp(np.concatenate([[0.0], np.cumsum(factors)]))
    return float(a * math.log(x) + b * math.log1p(-x) - math.log(a) - betaln(a, b) + series)


def log_e_noninferior(log_promote: float, log_tolerated: float | None) -> float:
    """E'/2 + E''/2; E' alone where no rate is tolerated."""
    if log_tolerated is None:
        return log_promote
    return float(np.logaddexp(log_promote, log_tolerated) - math.log(2.0))


def log_e_sample_ratio(n_c: int, n_b: int, share: float, *, strength: float = 100.0) -> float:
    """H0: the canary gets `share` of the completed requests. Dirichlet-multinomial with a = strength * (share,
    1 - share). It pauses and alarms; it never rolls back.
    """
    a, b = strength * share, strength * (1.0 - share)
    null = n_c * math.log(share) + n_b * math.log1p(-share)
    return float(betaln(a + n_c, b + n_b) - betaln(a, b) - null)
