"""How evidence is put together: over restarts, over series, over metrics."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def logsumexp(terms: Floats) -> Floats:
    """Over the last axis, which holds at least one finite term. SciPy's own costs more than the sum itself here."""
    peak = terms.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(terms - peak).sum(axis=-1)) + peak[..., 0], dtype=np.float64)


def log_mixed(logs: Floats, weights: Floats) -> Floats:
    """ln of the mean of exp(logs) with these `weights` (n,), over the last axis. Weights are all above 0: what they do
    not cover is left out, or a peak there could let all the rest underflow.
    """
    peak = logs.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(logs - peak) @ weights) + peak[..., 0], dtype=np.float64)


def log_e_restarted(by_step: Floats) -> Floats:
    """Mix E_j, the log e-values since the start of step j = 1..J, as sum E_j/(j(j+1)) + 1/(J+1): a late fault is
    not drowned by what went well before it. With no step yet it is 0. Shapes: (J, ...) gives (...). A mixture over the
    time of the change, as in e-detectors: Shin, Ramdas & Rinaldo 2023.
    """
    shares, reserve = _shares(len(by_step))
    terms = (by_step.T + shares).T
    peak = terms.max(axis=0, initial=reserve)
    return np.asarray(np.log(np.exp(terms - peak).sum(axis=0) + np.exp(reserve - peak)) + peak, dtype=np.float64)


@lru_cache(maxsize=128)
def _shares(steps: int) -> tuple[Floats, float]:
    """ln of each step's share, and of what is kept for steps to come."""
    j = np.arange(1, steps + 1)
    return -np.log(j * (j + 1.0)), -math.log(steps + 1.0)


def since_step(by_step: Floats) -> Floats:
    """Row j: the sum of rows j.. of `by_step` (what was learned since step j began)."""
    since = by_step.copy()
    for j in range(len(since) - 2, -1, -1):
        since[j] += since[j + 1]
    return since


def log_e_noninferior(log_promote: float, log_tolerated: float | None) -> float:
    """E'/2 + E''/2; E' alone where no rate is tolerated. Inferior means that both nulls hold, so the mean of their
    e-values is one (Vovk & Wang 2021).
    """
    if log_tolerated is None:
        return log_promote
    return float(np.logaddexp(log_promote, log_tolerated) - math.log(2.0))


def first_and_last(masks: NDArray[np.bool_], points: Floats) -> list[tuple[float, float] | None]:
    """Of each row of `masks` (K, P) the first and the last of `points` (P,) that it keeps; None where it keeps none."""
    first, last = masks.argmax(axis=1), masks.shape[1] - 1 - masks[:, ::-1].argmax(axis=1)
    anything = masks[np.arange(len(masks)), first].tolist()
    both = zip(points[first].tolist(), points[last].tolist(), strict=True)
    return [found if some else None for found, some in zip(both, anything, strict=True)]


def log_mean(logs: Floats) -> float:
    """ln of the plain mean of e-values: valid under any dependence (Vovk & Wang 2021)."""
    if len(logs) == 1:
        return float(logs[0])
    return float(logsumexp(np.asarray(logs, dtype=np.float64)) - math.log(len(logs)))
