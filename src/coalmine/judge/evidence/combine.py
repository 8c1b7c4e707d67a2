"""How evidence is put together: over restarts, over series, over metrics."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def logsumexp(terms: Floats) -> Floats:
    """Over the last axis, which holds at least one finite term. SciPy's own costs more than the sum itself here."""
    peak = terms.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(terms - peak).sum(axis=-1)) + peak[..., 0], dtype=np.float64)


def log_e_restarted(by_step: Floats) -> Floats:
    """Mix E_j, the log e-values since the start of step j = 1..J, as sum E_j/(j(j+1)) + 1/(J+1): a late fault is
    not drowned by what went well before it. With no step yet it is 0. Shapes: (J, ...) gives (...).
    """
    count = len(by_step)
    j = np.arange(1, count + 1).reshape(-1, *(1,) * (by_step.ndim - 1))
    reserve = np.full((1, *by_step.shape[1:]), -math.log(count + 1.0))
    return logsumexp(np.moveaxis(np.concatenate([by_step - np.log(j * (j + 1.0)), reserve]), 0, -1))


def since_step(by_step: Floats) -> Floats:
    """Row j: the sum of rows j.. of `by_step` (what was learned since step j began)."""
    return np.asarray(np.cumsum(by_step[::-1], axis=0)[::-1], dtype=by_step.dtype)


def log_e_noninferior(log_promote: float, log_tolerated: float | None) -> float:
    """E'/2 + E''/2; E' alone where no rate is tolerated."""
    if log_tolerated is None:
        return log_promote
    return float(np.logaddexp(log_promote, log_tolerated) - math.log(2.0))


def log_mean(logs: Floats) -> float:
    """ln of the plain mean of e-values: valid under any dependence (Vovk & Wang 2021)."""
    return float(logsumexp(np.asarray(logs, dtype=np.float64)) - math.log(len(logs)))
