"""Evidence on an odds ratio: `psi` is that of "bad", canary against baseline, and g = ln psi.

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

from coalmine.judge.evidence.combine import Floats, first_and_last, log_mixed, logsumexp

Counts = tuple[int, int, int, int] | NDArray[np.int64]

GRID: Floats = np.arange(-160, 161, dtype=np.float64) * np.float64(0.05)
POINTS = GRID.size + 2  # the grid, then exactly ln psi0, then exactly ln psiM
_PLAIN = (0.4, 4.5)  # of ln psi above ln psi0: the faults that are neither weak nor near to an outage
_SHORT = 256  # up to this many terms a product of matrices is cheapest
_DEEPEST = -650.0  # ln of the least coefficient beside the greatest at which nothing that matters underflows
_SMALL = 192  # up to this many terms the whole sum is cheaper than finding a window


@dataclass(frozen=True, slots=True, eq=False)
class Priors:
    """Weights over GRID, each summing to 1, and the POINTS at which likelihoods are kept. `rollback` begins at the grid
    point number `first`, `promote` ends before number `end`: beyond, the priors put nothing.
    """

    points: Floats
    rollback: Floats
    promote: Floats
    band: Floats
    first: int
    end: int


@lru_cache(maxsize=256)
def priors(odds_ratio_rollback: float, odds_ratio_promote: float, faults: str = "any") -> Priors:
    """The three mixtures, each normalised over the grid points that it covers. `faults`: against which ones the first
    of them bets. "any" is the one that reference values are of.
    """
    low, high = math.log(odds_ratio_rollback), math.log(odds_ratio_promote)
    beyond, below = GRID - low, high - 1e-12 > GRID
    plain = (beyond > _PLAIN[0]) & (beyond < _PLAIN[1])
    covered = np.flatnonzero(plain if faults == "plain" else beyond > 1e-12)
    rollback = _normalised(np.ones(covered.size) if faults == "plain" else np.exp(-beyond[covered] / 1.5))
    bell = _normalised(np.exp(-0.5 * (GRID[below] / 0.25) ** 2))
    promote = 0.7 * bell + 0.3 / below.sum()
    band = _normalised(np.exp(-np.abs(GRID) / 1.5))
    points = np.concatenate([GRID, [low, high]])
    return Priors(points, rollback, promote, band, first=int(covered[0]), end=int(below.sum()))


def _normalised(weights: Floats) -> Floats:
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def fnch_log_pmf(polls: Counts, ln_psi: Floats) -> Floats:
    """ln FNCH(e_c; psi) of polls (n_c, e_c, n_b, e_b) at each ln psi; zeros where a poll can teach nothing.

    Shapes: one poll (4,) gives (G,), a stack (P, 4) gives (P, G); `ln_psi` is (G,).
    """
    stack = np.atleast_2d(np.asarray(polls, dtype=np.int64))
    bad = stack[:, 1] + stack[:, 3]
    low = np.maximum(0, bad - stack[:, 2])
    spans = np.minimum(bad, stack[:, 0]) - low
    short = (spans > 0) & (spans <= _SHORT)
    found = np.zeros((len(stack), ln_psi.size))
    if short.any():
        found[short] = _summed(stack[short], low[short], spans[short], ln_psi)
    for row in np.flatnonzero(spans > _SHORT):
        found[row] = _long(stack[row], int(low[row]), int(spans[row]), ln_psi)
    return found if np.ndim(polls) == 2 else np.asarray(found[0])


def binomial_log_pmf(polls: Counts, ln_psi: Floats) -> Floats:
    """The law of e_c among e_c + e_b events when rates are compared over exposures n_c and n_b (Przyborowski &
    Wilenski 1940), or among discordant pairs (McNemar 1947): Binomial(m, n_c psi / (n_c psi + n_b)), up to its
    coefficient, which no ratio of likelihoods holds. Shapes as fnch_log_pmf.
    """
    stack = np.atleast_2d(np.asarray(polls, dtype=np.float64))
    n_c, e_c, n_b, e_b = np.maximum(stack, [1.0, 0.0, 1.0, 0.0]).T[:, :, None]
    odds = np.log(n_c) - np.log(n_b) + ln_psi
    found = e_c * odds - (e_c + e_b) * np.logaddexp(0.0, odds)
    found[(stack[:, 0] == 0) | (stack[:, 2] == 0)] = 0.0
    return np.asarray(found if np.ndim(polls) == 2 else found[0], dtype=np.float64)


def _ratios(poll: NDArray[np.int64], low: int, span: int) -> Floats:
    """ln of each coefficient over the one before it, along the support."""
    n_c, e_c, n_b, e_b = (int(value) for value in poll)
    m = e_c + e_b
    j = np.arange(low + 1, low + span + 1, dtype=np.float64)
    return np.asarray(np.log((n_c - j + 1) * (m - j + 1) / (j * (n_b - m + j))), dtype=np.float64)


def _summed(stack: NDArray[np.int64], low: NDArray[np.int64], spans: NDArray[np.int64], ln_psi: Floats) -> Floats:
    """Supports that fit: the sum is a product of matrices, of coefficients and of powers of psi. Powers are taken from
    the support's lower end where psi < 1 and from its upper end where psi > 1, so that none is above 1.
    """
    n_c, e_c, n_b, e_b = (column[:, None] for column in stack.T.astype(np.float64))
    m = e_c + e_b
    rows, steps = np.arange(len(stack)), np.arange(1, int(spans.max()) + 1)
    j = low[:, None] + steps.astype(np.float64)
    inside = steps <= spans[:, None]
    coefficients = (n_c - j + 1) * (m - j + 1) / np.maximum(j * (n_b - m + j), 1.0)
    weights = np.zeros((len(stack), steps.size + 1))
    np.cumsum(np.log(np.where(inside, coefficients, 1.0)), axis=1, out=weights[:, 1:])
    peak = weights.max(axis=1, keepdims=True)
    scaled = np.exp(weights - peak)
    scaled[:, 1:] *= inside
    turned = spans[:, None] - np.arange(steps.size + 1)
    from_above = scaled[rows[:, None], turned] * (turned >= 0)
    powers = _powers(ln_psi.tobytes())
    sums = np.concatenate(
        [scaled @ powers.falling[: steps.size + 1], from_above @ powers.rising[: steps.size + 1]], axis=1
    )
    with np.errstate(divide="ignore"):  # of the deepest, which are done anew below
        total = np.log(sums)
    if powers.order is not None:
        total = total[:, powers.order]
    k = stack[:, 1] - low
    found = k[:, None] * ln_psi
    found -= spans[:, None] * powers.above
    found -= total
    found += (weights[rows, k] - peak[:, 0])[:, None]
    # The law is log-concave: its least coefficient is at one of the ends.
    for row in np.flatnonzero(np.minimum(0.0, weights[rows, spans]) - peak[:, 0] < _DEEPEST):
        found[row] = _long(stack[row], int(low[row]), int(spans[row]), ln_psi)
    return np.asarray(found, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Powers:
    """psi^k where psi <= 1 and psi^-k where it is above, k = 0.._SHORT in rows; `order`: where each point's column is
    when the second follow the first, None where that is the points' own order; `above`: ln psi where psi is above 1,
    else 0.
    """

    falling: Floats
    rising: Floats
    order: NDArray[np.intp] | None
    above: Floats


@lru_cache(maxsize=32)
def _powers(ln_psi: bytes) -> _Powers:
    points = np.frombuffer(ln_psi)
    low = points <= 0
    k = np.arange(_SHORT + 1)[:, None]
    order = None if (np.diff(low.astype(np.int64)) <= 0).all() else np.argsort(np.argsort(~low, kind="stable"))
    return _Powers(np.exp(k * points[low]), np.exp(-k * points[~low]), order, np.where(low, 0.0, points))


def _long(poll: NDArray[np.int64], low: int, span: int, ln_psi: Floats) -> Floats:
    """Long supports: nothing overflows, and beyond some length only what matters is visited.

    A long support is summed only within reach of its mode, and only at every h-th term: for a sum of independent
    Bernoulli variables with variance v that residue class holds 1/h of the mass up to exp(-v (1 - cos(2 pi/h))),
    below 1e-13 for h <= sd/2.
    """
    ratios = _ratios(poll, low, span)
    weights = np.concatenate([[0.0], np.cumsum(ratios)])
    k = int(poll[1]) - low
    if weights.size <= _SMALL:
        terms = weights + np.arange(weights.size) * ln_psi[:, None]
        return np.asarray(weights[k] + k * ln_psi - logsumexp(terms), dtype=np.float64)
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
    return np.asarray(centre + logsumexp(np.where(inside, terms, -np.inf)) + np.log(stride), dtype=np.float64)


# ---- from the likelihood vector L (POINTS long, or a stack of such) ----------------------------------------------


def log_e_rollback(likelihood: Floats, prior: Priors) -> Floats:
    """H0: psi <= psi0 in every poll. `likelihood` may begin at the grid point number `first`."""
    begin = prior.first - POINTS  # from the end
    return log_mixed(likelihood[..., begin : begin + prior.rollback.size], prior.rollback) - likelihood[..., -2]


def log_e_promote(likelihood: Floats, prior: Priors) -> Floats:
    """H0: psi >= psiM in every poll."""
    return log_mixed(likelihood[..., : prior.end], prior.promote) - likelihood[..., -1]


def confidence_mask(likelihood: Floats, prior: Priors, alpha: float) -> NDArray[np.bool_]:
    """The grid points that the confidence sequence keeps at this moment, before any intersection."""
    on_grid = likelihood[..., :-2]
    line = log_mixed(on_grid, prior.band) + math.log(alpha)
    return np.asarray(on_grid > line[..., None], dtype=np.bool_)


def ends(masks: NDArray[np.bool_]) -> list[tuple[float, float] | None]:
    """Of each row of `masks` (S, grid) the lowest and highest ln psi kept; None where nothing is left: psi changed
    during the rollout.
    """
    return first_and_last(masks, GRID)
