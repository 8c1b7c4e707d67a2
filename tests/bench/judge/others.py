"""Engines that the judge could have had: one that knows the odds ratio beforehand, and one without the correction for
overshoot. They say how near to the information limit any can get, and what the correction gives.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from bench.judge.errors import P_B
from coalmine.judge import evidence
from coalmine.judge.evidence import Floats, Priors
from coalmine.judge.manyfold import Batch, Ints


def _with(prior: Priors, density: Floats) -> Priors:
    """`density` at each grid point that the mixture covers, in place of the judge's own."""
    return replace(prior, rollback=density / density.sum())


def _known(prior: Priors, p_c: float) -> Priors:
    ln_psi = math.log(p_c / (1 - p_c) / (P_B / (1 - P_B)))
    return _with(prior, (np.abs(_covered(prior) - ln_psi) < 0.026).astype(np.float64))


def _covered(prior: Priors) -> Floats:
    return evidence.GRID[prior.first : prior.first + prior.rollback.size]


class Known2(Batch):
    """The odds ratio of a canary with 2 % errors beside 0.5 % is known beforehand."""

    @property
    def prior(self) -> Priors:
        return _known(super().prior, 0.02)


class Known5(Batch):
    """And with 5 %."""

    @property
    def prior(self) -> Priors:
        return _known(super().prior, 0.05)


class Overshooting(Batch):
    """Nothing is given back of what lies beyond the line."""

    def _raise(self, which: Ints, polls: Ints, row: Ints) -> None:
        del which, polls, row
