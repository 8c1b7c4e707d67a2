"""Reference values recomputed: golden.json's format against this engine."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from coalmine.errors import BadInput
from coalmine.judge import evidence

TOLERANCE = 1e-6


def check(path: Path) -> float:
    """The largest difference between a file of reference values (golden.json's format) and this engine.

    Raises:
        BadInput: the file is not in that format.
    """
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))
        return max(difference for case in cases for difference in _differences(case))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput(
            f"no reference values: {error!r}", where=str(path), remedy="see golden.json for the format"
        ) from error


def _differences(case: dict[str, Any]) -> Iterator[float]:
    prior = evidence.priors(case["odds_ratio_rollback"], case["odds_ratio_promote"])
    likelihood, n, e = np.zeros(evidence.POINTS), 0, 0
    for poll, expected in zip(case["polls"], case["expect"], strict=True):
        n_c, e_c, n_b, e_b = poll
        likelihood = likelihood + evidence.fnch_log_pmf((n_c, e_c, n_b, e_b), prior.points)
        n, e = n + n_c, e + e_c
        promote = float(evidence.log_e_promote(likelihood, prior))
        tolerated = float(evidence.log_e_tolerated(n, e, case["tolerated_rate"]))
        found = {
            "log_e_rollback": float(evidence.log_e_rollback(likelihood, prior)),
            "log_e_promote": promote,
            "log_e_tolerated": tolerated,
            "log_e_noninferior": float(evidence.log_e_noninferior(promote, tolerated)),
        }
        yield from (abs(found[name] - expected[name]) for name in found)
        (band,) = evidence.ends(evidence.confidence_mask(likelihood, prior, case["alpha"])[None])
        yield from (abs(a - b) for a, b in zip(band or (math.inf, math.inf), expected["cs"], strict=True))
