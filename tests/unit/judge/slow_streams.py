"""The streams of golden_own.json: each a policy with nothing left to its defaults, and polls with fixed numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

Stream = dict[str, Any]
Rate = Callable[[int], float]  # of bad outcomes, by the number of the look


def rules(kind: str, **given: Any) -> dict[str, Any]:
    plain = {
        "role": "guardrail", "weight": 1.0, "against": "baseline",
        "odds_ratio_rollback": 1.25, "odds_ratio_promote": 2.0, "tolerated_rate": None,
    }  # fmt: skip
    return {"kind": kind, **plain, **given}


def policy(metrics: dict[str, Any], **given: Any) -> dict[str, Any]:
    plain = {
        "alpha": 0.01, "beta": 0.05, "minimum_seconds": 20.0, "maximum_seconds": 3600.0, "fresh_seconds": 45.0,
        "on_inconclusive": "hold",
    }  # fmt: skip
    absent = dict.fromkeys({"errors", "latency", "feedback"} - set(metrics))
    return {**plain, **given, "metrics": {**metrics, **dict(sorted(absent.items()))}}


def poll(t: float, metric: str, counts: tuple[int, int, int, int], step: int = 0, part: str = "") -> dict[str, Any]:
    n_c, e_c, n_b, e_b = counts
    return {"t": t, "metric": metric, "n_c": n_c, "e_c": e_c, "n_b": n_b, "e_b": e_b, "step": step, "part": part}


def draw(rng: random.Random, n: int, rate: float) -> int:
    return sum(rng.random() < rate for _ in range(n))


def counts(rng: random.Random, n_c: int, n_b: int, p_c: float, p_b: float) -> tuple[int, int, int, int]:
    return n_c, draw(rng, n_c, p_c), n_b, draw(rng, n_b, p_b)


def ramp(seed: int, steps: list[int], p_c: Rate, p_b: Rate, *, size: int = 200, each: int = 4) -> list[dict[str, Any]]:
    """`each` polls of about `size` requests at each weight of `steps`, ten seconds apart."""
    rng, polls = random.Random(seed), []
    for i, step in enumerate(step for step in steps for _ in range(each)):
        n_c = draw(rng, size, step / 100 if step else 0.1)
        polls.append(poll(10.0 * (i + 1), "errors", counts(rng, n_c, size - n_c, p_c(i), p_b(i)), step))
    return polls


def streams() -> Iterator[Stream]:
    yield from errors()
    yield from decisions()
    yield from other_kinds()
    yield from many_metrics()


def errors() -> Iterator[Stream]:
    at_one = rules("errors", odds_ratio_rollback=1.0, tolerated_rate=0.01)
    usual = rules("errors", tolerated_rate=0.01)
    yield {
        "name": "a fault that starts at the third step", "policy": policy({"errors": at_one}),
        "polls": ramp(1, [5, 10, 25, 50], lambda i: 0.2 if i >= 8 else 0.02, lambda _: 0.02),
    }  # fmt: skip
    yield {
        "name": "the default margins, no steps", "policy": policy({"errors": usual}),
        "polls": ramp(2, [0], lambda _: 0.06, lambda _: 0.02, each=14),
    }  # fmt: skip
    yield {
        "name": "the odds ratio changes on the way", "policy": policy({"errors": at_one}, alpha=1e-9),
        "polls": ramp(3, [50], lambda i: 0.4 if i >= 8 else 0.01, lambda i: 0.05 if i >= 8 else 0.15, each=14),
    }  # fmt: skip
    yield {
        "name": "ten thousand failures in one poll", "policy": policy({"errors": usual}, alpha=1e-12),
        "polls": [poll(10.0, "errors", (4_000, 1_020, 36_000, 8_980), 10), poll(20.0, "errors", (50, 1, 450, 4), 10)],
    }  # fmt: skip
    yield {
        "name": "empty arms, no failures, all failed", "policy": policy({"errors": at_one}, alpha=1e-6),
        "polls": [
            poll(10.0, "errors", (0, 0, 90, 2), 10), poll(20.0, "errors", (9, 1, 0, 0), 10),
            poll(30.0, "errors", (10, 0, 90, 0), 10), poll(40.0, "errors", (3, 3, 2, 2), 20),
            poll(50.0, "errors", (6, 6, 30, 0), 20),
        ],
    }  # fmt: skip


def decisions() -> Iterator[Stream]:
    usual = rules("errors", tolerated_rate=0.01)
    ratio = rules("errors", odds_ratio_promote=3.0)
    yield {
        "name": "promoted: it never failed, at 441 requests and not at 440",
        "policy": policy({"errors": usual}, minimum_seconds=0.0),
        "polls": [poll(10.0 * (i + 1), "errors", (n, 0, 900, 0), 50) for i, n in enumerate((200, 240, 1, 100))],
    }  # fmt: skip
    yield {
        "name": "promoted by the ratio, not before the minimum duration",
        "policy": policy({"errors": ratio}, minimum_seconds=80.0, maximum_seconds=120.0),
        "polls": ramp(4, [20, 50], lambda _: 0.2, lambda _: 0.3, size=300, each=6), "later": [150.0, 166.0, 400.0],
    }  # fmt: skip
    late = [poll(10.0 * (i + 1), "errors", (200, 6, 200, 15), 20) for i in range(4)]
    yield {
        "name": "all outcomes pass, those of the last step do not", "policy": policy({"errors": ratio}),
        "polls": [*late, poll(50.0, "errors", (30, 7, 30, 2), 50), poll(60.0, "errors", (60, 2, 60, 9), 50)],
    }  # fmt: skip
    for rest in ("hold", "rollback"):
        yield {
            "name": f"the maximum duration passes: {rest}",
            "policy": policy({"errors": usual}, maximum_seconds=35.0, on_inconclusive=rest),
            "polls": ramp(5, [10], lambda _: 0.02, lambda _: 0.015, each=6), "later": [90.0],
        }  # fmt: skip
    yield {
        "name": "a rollback is latched", "policy": policy({"errors": usual}),
        "polls": [
            poll(10.0, "errors", (20, 1, 180, 1), 10), poll(20.0, "errors", (20, 9, 180, 2), 10),
            poll(30.0, "errors", (500, 0, 500, 80), 50),
        ],
        "later": [9999.0],
    }  # fmt: skip
    yield {
        "name": "after the promotion the tolerated rate alone speaks",
        "policy": policy({"errors": usual, "feedback": rules("feedback", role="rollback")}),
        "polls": [
            poll(10.0, "errors", (300, 1, 300, 2), 50), poll(20.0, "errors", (300, 1, 300, 2), 50),
            poll(30.0, "errors", (300, 1, 300, 2), 50), poll(40.0, "errors", (80, 3, 0, 0), -1),
            poll(50.0, "errors", (60, 9, 0, 0), -1), poll(60.0, "errors", (60, 30, 0, 0), -1),
        ],
    }  # fmt: skip


def other_kinds() -> Iterator[Stream]:
    rng = random.Random(6)
    slices = rules("latency", against="both", tolerated_rate=0.25, edge_seconds=0.1, more_edges=[])
    stalled = [0.05] * 3 + [0.7] * 4 + [0.05] * 3  # both arms at once: that moves neither
    own = [0.8] * 6
    yield {
        "name": "slices: a shared stall, then one of the canary's own", "policy": policy({"latency": slices}),
        "polls": [
            poll(5.0 * (i + 1), "latency", counts(rng, 5, 5, p, 0.05 if i >= len(stalled) else p), 10 + 10 * (i // 6))
            for i, p in enumerate(stalled + own)
        ],
    }  # fmt: skip
    edges = {**slices, "against": "baseline", "more_edges": [0.25, 1.0]}
    yield {
        "name": "latency at three edges", "policy": policy({"latency": edges}),
        "polls": [
            poll(5.0 * (i + 1), "latency", counts(rng, 8, 8, high, low), 10, part)
            for i in range(8)
            for part, high, low in (("", 0.5, 0.3), ("0.25", 0.6, 0.1), ("1", 0.05, 0.05))
        ],
    }  # fmt: skip
    mix = rules("mix", odds_ratio_rollback=2.0, odds_ratio_promote=3.0, classes=["ham", "spam", "other"])
    yield {
        "name": "the mix of three classes, one of which dwindles", "policy": policy({"mix": mix}),
        "polls": list(mixed(rng, [(0.5, 0.4, 0.1)] * 6, [(0.5, 0.4, 0.1)] * 6)),
        "later": [61.0],
    }  # fmt: skip
    yield {
        "name": "the mix of three classes stays", "policy": policy({"mix": {**mix, "role": "rollback"},
                                                                   "errors": rules("errors")}),
        "polls": list(mixed(rng, [(0.45, 0.1, 0.45)] * 6, [(0.5, 0.4, 0.1)] * 6)),
    }  # fmt: skip
    fallbacks = rules("counts", odds_ratio_rollback=1.0)
    yield {
        "name": "events over an exposure, more of them than its units", "policy": policy({"fallbacks": fallbacks}),
        "polls": [
            poll(10.0 * (i + 1), "fallbacks", (20, draw(rng, 60, 0.7), 180, draw(rng, 600, 0.45)), 10 + 10 * (i // 3))
            for i in range(6)
        ],
    }  # fmt: skip
    yield {
        "name": "pairs of answers to the same requests", "policy": policy({"shadow": rules("paired")}),
        "polls": [poll(10.0 * (i + 1), "shadow", counts(rng, 40, 40, 0.12, 0.03)) for i in range(8)],
    }  # fmt: skip


def mixed(
    rng: random.Random, canary: list[tuple[float, ...]], primary: list[tuple[float, ...]]
) -> Iterator[dict[str, Any]]:
    """Each look holds a poll for each class."""
    for i, (ours, theirs) in enumerate(zip(canary, primary, strict=True)):
        drawn_c, drawn_b = (rng.choices(range(3), weights=p, k=n) for p, n in ((ours, 30), (theirs, 90)))
        for place, name in enumerate(("ham", "spam", "other")):
            found = (30, drawn_c.count(place), 90, drawn_b.count(place))
            yield poll(10.0 * (i + 1), "mix", found, 25, name)


def many_metrics() -> Iterator[Stream]:
    rng = random.Random(7)
    labels = rules("feedback", odds_ratio_rollback=1.0)
    yield {
        "name": "late labels: each arrival and step is a cell", "policy": policy({"feedback": labels}, alpha=1e-9),
        "polls": [
            poll(30.0 * (i + 1), "feedback", counts(rng, step, 60 - step, 0.35, 0.2), step)
            for i in range(7)
            for step in (5, 10, 25, 50)[max(0, i - 4) : i + 1]
        ],
    }  # fmt: skip
    three = {
        "errors": rules("errors", weight=2.0, tolerated_rate=0.01),
        "latency": rules("latency", against="both", tolerated_rate=0.25, edge_seconds=0.1, more_edges=[]),
        "feedback": rules("feedback", role="rollback", odds_ratio_rollback=1.1),
        "notes": rules("feedback", role="observe"),
    }
    yield {
        "name": "the mean over metrics, with weights and shares", "policy": policy(three),
        "polls": [
            one
            for i in range(9)
            for one in (
                poll(10.0 * (i + 1), "errors", counts(rng, 30, 170, 0.07, 0.02), (10, 20, 30)[i // 3]),
                poll(10.0 * (i + 1), "latency", counts(rng, 6, 6, 0.6, 0.1), (10, 20, 30)[i // 3]),
                poll(10.0 * (i + 1), "feedback", counts(rng, 4, 16, 0.5, 0.2), (10, 10, 20)[i // 3]),
                poll(10.0 * (i + 1), "notes", counts(rng, 9, 9, 0.9, 0.1), (10, 20, 30)[i // 3]),
            )
        ],
    }  # fmt: skip
    held = {
        "errors": rules("errors", against="both", tolerated_rate=0.02),
        "feedback": rules("feedback", against="tolerated", tolerated_rate=0.3),
    }
    yield {
        "name": "each guardrail must pass, and its data must be fresh",
        "policy": policy(held, fresh_seconds=45.0),
        "polls": [
            one
            for i in range(8)
            for one in (
                poll(20.0 * (i + 1), "errors", counts(rng, 150, 150, 0.004, 0.006), 50),
                *([poll(20.0 * (i + 1), "feedback", counts(rng, 20, 20, 0.1, 0.1), 50)] if i < 6 else []),
            )
        ],
        "later": [164.0, 165.5, 166.0, 3700.0],
    }  # fmt: skip
