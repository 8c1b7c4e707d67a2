"""The recordings that the guides use. `python tests/unit/judge/examples.py` writes them anew: seeded, made up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[3] / "docs" / "examples"
STEPS = ((5, 12), (10, 12), (25, 12), (50, 30))  # weight, looks of 10 s each
AT_ONCE = 200  # requests in 10 s


def rollout(rate: float, seed: int) -> str:
    """A canary that fails at `rate` beside a primary that fails at 0.5 %, one poll a line."""
    rng = np.random.default_rng(seed)
    lines, t = [], 1_767_225_600.0
    for weight, looks in STEPS:
        for _ in range(looks):
            t += 10.0
            n_c, n_b = int(rng.poisson(AT_ONCE * weight / 100)), int(rng.poisson(AT_ONCE * (100 - weight) / 100))
            e_c, e_b = int(rng.binomial(n_c, rate)), int(rng.binomial(n_b, 0.005))
            poll = {"t": t, "metric": "errors", "n_c": n_c, "e_c": e_c, "n_b": n_b, "e_b": e_b, "step": weight}
            lines.append(json.dumps(poll) + "\n")
    return "".join(lines)


if __name__ == "__main__":
    (FOLDER / "healthy.jsonl").write_text(rollout(0.005, 1), encoding="utf-8")
    (FOLDER / "worse.jsonl").write_text(rollout(0.02, 2), encoding="utf-8")
