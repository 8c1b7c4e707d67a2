"""Analyses made by hand: a row, what was counted, and polls that the real engine folds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from coalmine.judge.counting import Counting
from coalmine.judge.live import Live
from coalmine.judge.policy import load_policy
from coalmine.judge.store import Row
from coalmine.records import Poll

OPENED = 1_000_000.0
EVERY_KIND = """
metrics:
  latency: {more_edges: [0.05, 0.2]}
  fallbacks: {kind: counts}
  shadow: {kind: paired}
  classes: {kind: mix, classes: [up, down]}
  rating: {kind: score}
  memory: {kind: resource, limit: 500}
"""


def live(polls: Iterable[Poll], *, policy: str = "", release: str = "m2-abcdef0", **row: Any) -> Live:
    """An analysis that was opened and exposed at OPENED, its weight and requests those of the polls on errors."""
    polls = list(polls)
    fields = {
        "id": 1, "namespace": "sentiment", "name": "sentiment", "checksum": "c1", "attempt": 1, "status": "open",
        "outcome": "", "opened": OPENED, "ended": None, "final": "", "policy": policy, "counting": "{}",
        "granted": "{}",
    }  # fmt: skip
    routed: dict[str, int] = {}
    for poll in polls:
        if poll.metric == "errors":
            routed[str(poll.step)] = routed.get(str(poll.step), 0) + poll.n_c
    counting = Counting(
        release=release, baseline=["m1-abcdef0"], weight=polls[-1].step if polls else None, exposed=OPENED,
        routed=routed, failed=sum(poll.e_c for poll in polls if poll.metric == "errors"),
        weights=[[OPENED, 2.0, 10.0]] if polls else [],
    )  # fmt: skip
    made = Live(Row(**{**fields, **row}), load_policy(policy), counting)
    made.feed(polls)
    return made


def errors(looks: int, *, e_c: int = 0, e_b: int = 1, n_c: int = 20, step: int = 10) -> list[Poll]:
    """One look a second: `n_c` requests to the canary and nine times as many to the primary."""
    return [Poll(OPENED + 1 + i, "errors", n_c, e_c, 9 * n_c, e_b, step) for i in range(looks)]


def every_kind(looks: int = 30) -> list[Poll]:
    """Polls of each kind of metric and each of its parts."""
    found = []
    for i in range(looks):
        t = OPENED + 1 + i
        found += [
            Poll(t, "errors", 20, i % 7 == 0, 180, 1, 10),
            *(Poll(t, "latency", 5, 1, 5, 1, 10, part=part) for part in ("", "0.05", "0.2")),
            Poll(t, "fallbacks", 20, 25, 180, 200, 10),
            Poll(t, "shadow", 20, 1, 20, 1, 10),
            *(Poll(t, "classes", 20, 10, 180, 90, 10, part=part) for part in ("up", "down")),
            Poll(t, "rating", 10, 2_000_000, 90, 18_000_000, 10, q_c=500_000, q_b=4_500_000),
            Poll(t, "memory", 5, 0, 5, 0, 10, part="limit"),
            Poll(t, "memory", 1, 0, 1, 0, 10, part="growth"),
        ]
    return found
