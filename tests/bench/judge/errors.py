"""Error rates: healthy releases in every regime, faults of four sizes, the margin, thumbs, and late faults."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.judge.watching import Look, drawn
from coalmine.judge.policy import Policy, load_policy

P_B = 0.005
LIMITS = {0.01: 2708.0, 0.02: 427.0, 0.05: 84.0, 0.2: 12.5}  # canary requests that the information in them costs
HEALTHY = ("plain", "shared incident", "ramp 5->50, shared rate .3->1 %", "true share 12 %", "counter resets")
RAMP = (5, 10, 20, 30, 50)
OTHERS = "latency: {role: observe}, feedback: {role: observe}"


def policy(psi0: float, psi_m: float = 2.0, tolerated: float | None = 0.01, *, faults: str = "any") -> Policy:
    rate = "null" if tolerated is None else tolerated
    metric = f"{{odds_ratio_rollback: {psi0}, odds_ratio_promote: {psi_m}, tolerated_rate: {rate}, faults: {faults}}}"
    return load_policy(f"metrics: {{errors: {metric}, {OTHERS}}}")


def healthy(regime: str, *, runs: int, seed: int, requests: int = 20_000) -> Iterator[Look]:
    """Looks at a release as good as the primary: about ten canary requests each, 10 % of the traffic."""
    rng = np.random.default_rng(seed)
    if regime.startswith("ramp"):
        yield from _drifting(rng, runs, requests)
        return
    for i in range(requests // (12 if "12" in regime else 10)):
        rate = 0.1 if regime == "shared incident" and 200 <= i < 260 else P_B
        share = 0.12 if "12" in regime else 0.1
        n_c = rng.binomial(100, share, runs) if "12" in regime else np.full(runs, 10)
        counts = drawn(rng, n_c, rate, 100 - n_c, rate)
        yield [(0, _after_resets(rng, counts) if regime == "counter resets" else counts)]


def _drifting(rng: np.random.Generator, runs: int, requests: int) -> Iterator[Look]:
    each = requests // sum(RAMP)
    for i in range(each * len(RAMP)):
        row = i // each
        rate = 0.003 + 0.007 * i / (each * len(RAMP))
        n_c = np.full(runs, RAMP[row])
        yield [(row, drawn(rng, n_c, rate, 100 - n_c, rate))]


def _after_resets(rng: np.random.Generator, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """One poll in thirty a process of an arm starts anew: what came since the poll before is lost, good and bad."""
    kept = counts.copy()
    for arm in (0, 2):
        share = np.where(rng.random(len(counts)) < 1 / 30, rng.random(len(counts)), 1.0)
        bad = rng.binomial(counts[:, arm + 1], share)
        kept[:, arm] = rng.binomial(counts[:, arm] - counts[:, arm + 1], share) + bad
        kept[:, arm + 1] = bad
    return kept


def faulty(p_c: float, *, runs: int, seed: int, size: int = 10, requests: int = 40_000) -> Iterator[Look]:
    """`size` canary requests a look and nine times as many of the primary."""
    rng = np.random.default_rng(seed)
    n_c, n_b = np.full(runs, size), np.full(runs, 9 * size)
    for _ in range(requests // size):
        yield [(0, drawn(rng, n_c, p_c, n_b, P_B))]


def at_margin(p_c: float, p_b: float, *, runs: int, seed: int, requests: int = 20_000) -> Iterator[Look]:
    """Half of the traffic: ten and ten a look."""
    rng = np.random.default_rng(seed)
    arm = np.full(runs, 10)
    for _ in range(requests // 10):
        yield [(0, drawn(rng, arm, p_c, arm, p_b))]


def votes(p_c: float, p_b: float, *, runs: int, seed: int, size: int = 10, most: int = 20_000) -> Iterator[Look]:
    """Thumbs, half of them for the canary, `size` and `size` a look."""
    rng = np.random.default_rng(seed)
    arm = np.full(runs, size)
    for _ in range(most // (2 * size)):
        yield [(0, drawn(rng, arm, p_c, arm, p_b))]


def late(p_c: float, *, runs: int, seed: int, restarts: bool, each: int = 60) -> Iterator[Look]:
    """A fault that begins at the third of four steps, 100 requests a look; without `restarts` no step is named."""
    rng = np.random.default_rng(seed)
    for i in range(4 * each):
        step = min(3, i // each)
        n_c = np.full(runs, (5, 10, 25, 50)[step])
        yield [(step if restarts else 0, drawn(rng, n_c, p_c if step >= 2 else P_B, 100 - n_c, P_B))]


def sticky(*, runs: int, seed: int, users: bool, looks: int = 600) -> Iterator[Look]:
    """Half of the users each; a user makes ten requests on average, and one in twenty fails half of the time,
    whatever the release. `users`: each user's first outcome counts; otherwise each request.
    """
    rng = np.random.default_rng(seed)
    for _ in range(looks):
        arms = []
        for _arm in range(2):
            new = rng.poisson(10, runs)
            unlucky = rng.binomial(new, 0.05)
            asked = [n + rng.negative_binomial(np.maximum(n, 1), 0.1) * (n > 0) for n in (unlucky, new - unlucky)]
            n_bad, n_good = (unlucky, new - unlucky) if users else asked
            arms += [n_bad + n_good, rng.binomial(n_bad, 0.5) + rng.binomial(n_good, 0.002)]
        yield [(0, np.stack(arms, axis=1))]
