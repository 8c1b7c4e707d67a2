"""Anytime-valid evidence: numbers in, numbers out, no I/O and no clock.

All evidence is the natural logarithm of an e-value: its expectation under the null hypothesis is at most 1 at whatever
poll one looks (Ville's inequality bounds the chance that it ever reaches 1/alpha by alpha). E-values and their
averages: Vovk & Wang 2021.
"""

from coalmine.judge.evidence.combine import (
    Floats,
    log_e_noninferior,
    log_e_restarted,
    log_mean,
    logsumexp,
    since_step,
)
from coalmine.judge.evidence.odds import (
    GRID,
    POINTS,
    Priors,
    binomial_log_pmf,
    confidence_mask,
    ends,
    fnch_log_pmf,
    log_e_promote,
    log_e_rollback,
    priors,
)
from coalmine.judge.evidence.overshoot import log_boost
from coalmine.judge.evidence.rates import (
    RATES,
    log_betainc,
    log_e_intolerable,
    log_e_sample_ratio,
    log_e_tolerated,
    rate_ends,
    rate_masks,
)

__all__ = [
    "GRID",
    "POINTS",
    "RATES",
    "Floats",
    "Priors",
    "binomial_log_pmf",
    "confidence_mask",
    "ends",
    "fnch_log_pmf",
    "log_betainc",
    "log_boost",
    "log_e_intolerable",
    "log_e_noninferior",
    "log_e_promote",
    "log_e_restarted",
    "log_e_rollback",
    "log_e_sample_ratio",
    "log_e_tolerated",
    "log_mean",
    "logsumexp",
    "priors",
    "rate_ends",
    "rate_masks",
    "since_step",
]
