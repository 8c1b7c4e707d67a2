"""What an e-process would overshoot its line by, given back before it gets there.

Just below the line 1/alpha one more failure takes the evidence well beyond it, and what lies beyond is of no use:
stopped at its line the process has an expectation below 1 under the null. So each factor may be multiplied by the
largest b >= 1 with which the expectation of min(b x evidence, line) is still the evidence before the poll (Fischer &
Ramdas 2024, "Improving Wald's (approximate) sequential probability ratio test by avoiding overshoot"). Given the
poll's totals the null law of the canary's failures is known exactly, and b is found from it, not from the outcome;
for smaller odds ratios the expectation is smaller still, since the evidence grows with each failure.
"""

from __future__ import annotations

import math

import numpy as np

from coalmine.judge.evidence.combine import Floats


def log_boost(log_null: Floats, log_factor: Floats, log_room: float) -> float:
    """ln b for one poll.

    `log_null` (K,): ln of the null law over the support, k rising. `log_factor` (K,): ln of the evidence after the
    poll over that before it, rising with k. `log_room`: ln of the line over the evidence before the poll.
    """
    if log_room <= 0.0 or log_factor[-1] <= log_room:
        return 0.0
    null, gain = np.exp(log_null), np.exp(log_null + log_factor)
    above, below = np.cumsum(null[::-1])[::-1], np.concatenate([[0.0], np.cumsum(gain)[:-1]])
    best = 0.0
    for first in range(len(null) - 1, 0, -1):  # what stops at the line: k = first and all beyond
        left = 1.0 - math.exp(log_room) * float(above[first])
        if left <= 0.0 or below[first] <= 0.0:
            break
        best = math.log(left / float(below[first]))
        if best + float(log_factor[first - 1]) <= log_room:
            break
    return max(0.0, best)
