"""Recorded rollouts with known rates, and Canaries, for tests of what looks back and ahead."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from coalmine.judge.backtest import Check, Flagger, Recording
from coalmine.records import Poll

OPENED = 1000.0
CANARY = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: shop, namespace: shop}
spec:
  analysis:
    interval: 1m
    threshold: 5
    maxWeight: 50
    stepWeight: 10
    metrics:
      - {name: request-success-rate, interval: 1m, thresholdRange: {min: 99}}
      - {name: request-duration, interval: 30s, thresholdRange: {max: 500}}
"""


def rollout(
    p_c: float, *, p_b: float = 0.005, looks: int = 60, weight: int = 10, at_once: int = 200, seed: int = 1
) -> Recording:
    """A look every 10 s, the first at OPENED + 10, `at_once` requests a look over both arms."""
    rng = np.random.default_rng(seed)
    n_c = at_once * weight // 100
    n_b = at_once - n_c
    polls = [
        Poll(
            OPENED + 10.0 * look, "errors",
            n_c=n_c, e_c=int(rng.binomial(n_c, p_c)), n_b=n_b, e_b=int(rng.binomial(n_b, p_b)), step=weight,
        )
        for look in range(1, looks + 1)
    ]  # fmt: skip
    return Recording(f"rate {p_c:g}", tuple(polls), OPENED)


def written(recording: Recording, path: Path) -> Path:
    path.write_text("".join(json.dumps(asdict(poll)) + "\n" for poll in recording.polls))
    return path


def thresholds(
    *, weights: tuple[int, ...] = (10, 20, 30, 40, 50), threshold: int = 5, interval: float = 60.0, low: float = 0.99
) -> Flagger:
    return Flagger("shop", interval, threshold, weights, (Check("request-success-rate", 60.0, low=low),))
