"""The evidence over time, folded again from an analysis' polls: `python -m coalmine.release.curves`, JSON in and out.

A process of its own: the engine's numpy and scipy would stay in the controller's memory for one picture a release.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from coalmine.errors import Broken

Curves = dict[str, list[list[float]]]  # metric -> [[time, natural log of the evidence to roll back], ...]
_TIMEOUT = 60.0  # seconds; a thousand polls take two
_POINTS = 400  # of one curve: more than a picture has columns
ALL = "all metrics"  # the weighted mean, which the threshold is for


def curves(policy: dict[str, Any], polls: Sequence[dict[str, Any]]) -> Curves:
    """Evidence after each poll, thinned to 400 points a metric. Raises Broken where the polls do not fold."""
    if not polls:
        return {}
    command = [sys.executable, "-I", "-m", "coalmine.release.curves"]
    given = json.dumps({"policy": policy, "polls": polls})
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise Broken(f"the polls do not fold: {said[-1] if said else error}") from error
    found: Curves = json.loads(done.stdout)
    return found


def main() -> int:
    from coalmine.judge.fold import BAKED, State, fold, log_e_mean  # noqa: PLC0415 - the weight that this process exists for
    from coalmine.judge.policy import Policy  # noqa: PLC0415 - likewise
    from coalmine.records import Poll  # noqa: PLC0415 - beside them

    given = json.load(sys.stdin)
    policy, state, found = Policy.model_validate(given["policy"]), State(), Curves()
    for fields in given["polls"]:
        poll = Poll(**fields)
        state = fold(state, poll, policy)
        metric, baked = state.metrics.get(poll.metric), poll.step == BAKED
        if metric is not None and math.isfinite(metric.log_e):
            found.setdefault(poll.metric, []).append([poll.t, metric.log_e_bake if baked else metric.log_e])
            found.setdefault(ALL, []).append([poll.t, log_e_mean(state, policy, baked=baked)])
    json.dump({name: _thin(points) for name, points in found.items()}, sys.stdout)
    return 0


def _thin(points: list[list[float]]) -> list[list[float]]:
    every = -(-len(points) // _POINTS)
    return points[::every] if every <= 1 else [*points[::every], points[-1]]


if __name__ == "__main__":
    sys.exit(main())
