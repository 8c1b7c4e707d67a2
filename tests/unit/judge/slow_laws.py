"""The judge's arithmetic a second time, slowly: exact binomials, fifty digits, no logarithms.

It shares no code with `coalmine` and was written from the formulas, so that a mistake would have to be made twice.
Here are the laws of one poll and the mixtures; slow_engine.py folds whole streams.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mpmath

mp = mpmath.mp.clone()
mp.dps = 50
Number = Any  # mpmath ships no types
GRID = [mp.mpf(i) / 20 for i in range(-160, 161)]
PSI = [mp.exp(g) for g in GRID]


# ---- laws of one poll --------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _coefficients(n_c: int, n_b: int, m: int) -> list[Number]:
    """C(n_c, j) C(n_b, m - j) along the support: whole numbers first, rounded to fifty digits last."""
    return [mp.mpf(math.comb(n_c, j) * math.comb(n_b, m - j)) for j in range(max(0, m - n_b), min(m, n_c) + 1)]


@lru_cache(maxsize=4096)
def _total(n_c: int, n_b: int, m: int, psi: Number) -> Number:
    total = mp.mpf(0)
    for coefficient in reversed(_coefficients(n_c, n_b, m)):  # Horner's scheme
        total = total * psi + coefficient
    return total


def fnch(poll: tuple[int, int, int, int], psi: Number) -> Number:
    """Fisher's non-central hypergeometric probability of e_c, from whole binomial coefficients."""
    n_c, e_c, n_b, e_b = poll
    m = e_c + e_b
    k = e_c - max(0, m - n_b)
    return _coefficients(n_c, n_b, m)[k] * psi**k / _total(n_c, n_b, m, psi)


def binomial(poll: tuple[int, int, int, int], psi: Number) -> Number:
    """Of e_c among m events when the arms' exposures are n_c and n_b (pairs: n_c = n_b)."""
    n_c, e_c, n_b, e_b = poll
    if not n_c or not n_b:
        return mp.mpf(1)
    share = n_c * psi / (n_c * psi + n_b)
    return math.comb(e_c + e_b, e_c) * share**e_c * (1 - share) ** e_b


def tolerated(n: int, e: int, rate: float) -> Number:
    """Beta(.5, 50) cut to p < rate, over the likelihood at the rate."""
    p, a, b = mp.mpf(rate), mp.mpf("0.5"), mp.mpf(50)
    return mp.betainc(a + e, b + n - e, 0, p) / mp.betainc(a, b, 0, p) / (p**e * (1 - p) ** (n - e))


def intolerable(n: int, e: int, rate: float) -> Number:
    """Half Beta(.5, 50), half Beta(.5, .5), each cut to p > rate, over the likelihood at the rate."""
    p, a = mp.mpf(rate), mp.mpf("0.5")
    halves = [mp.betainc(a + e, b + n - e, p, 1) / mp.betainc(a, b, p, 1) for b in (mp.mpf(50), a)]
    return sum(halves) / 2 / (p**e * (1 - p) ** (n - e))


def sample_ratio(n_c: int, n_b: int, weight: int) -> Number:
    """Dirichlet-multinomial, a = 100 x (w, 1 - w), request by request: what each was given over what it should be."""
    w = mp.mpf(weight) / 100
    found, seen = mp.mpf(1), 0
    for count, share in ((n_c, w), (n_b, 1 - w)):
        for i in range(count):
            found *= (100 * share + i) / (100 + seen) / share
            seen += 1
    return found


# ---- mixtures over the grid --------------------------------------------------------------------------------------


def _weights(density: Any, *, over: Any = lambda _: True) -> list[Number]:
    found = [density(g) if over(g) else mp.mpf(0) for g in GRID]
    return [value / sum(found) for value in found]


@dataclass
class Mixtures:
    """pi, pi' and pi2 of one pair of margins."""

    psi0: float
    psi_m: float
    pi: list[Number] = field(init=False)
    pi_promote: list[Number] = field(init=False)
    pi_band: list[Number] = field(init=False)

    def __post_init__(self) -> None:
        low, high = mp.log(self.psi0), mp.log(self.psi_m)
        self.pi = _weights(lambda g: mp.exp(-(g - low) * 2 / 3), over=lambda g: g > low)
        bell = _weights(lambda g: mp.exp(-8 * g * g), over=lambda g: g < high)
        flat = _weights(lambda _: mp.mpf(1), over=lambda g: g < high)
        self.pi_promote = [(7 * x + 3 * y) / 10 for x, y in zip(bell, flat, strict=True)]
        self.pi_band = _weights(lambda g: mp.exp(-abs(g) * 2 / 3))
        self.points = [*PSI, mp.mpf(self.psi0), mp.mpf(self.psi_m)]

    def rollback(self, row: list[Number]) -> Number:
        return mp.fdot(zip(self.pi, row[:-2], strict=True)) / row[-2]

    def promote(self, row: list[Number]) -> Number:
        return mp.fdot(zip(self.pi_promote, row[:-2], strict=True)) / row[-1]

    def band(self, row: list[Number], alpha: float) -> set[int]:
        line = mp.fdot(zip(self.pi_band, row[:-2], strict=True)) * mp.mpf(alpha)
        return {i for i, value in enumerate(row[:-2]) if value > line}


def times(one: list[Number], other: list[Number]) -> list[Number]:
    return [x * y for x, y in zip(one, other, strict=True)]


def restarted(by_step: list[Number]) -> Number:
    """sum_j E_j/(j(j+1)) + 1/(J+1)."""
    return sum((e / (j * (j + 1)) for j, e in enumerate(by_step, 1)), mp.mpf(1) / (len(by_step) + 1))
