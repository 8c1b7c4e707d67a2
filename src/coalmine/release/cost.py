"""What a release cost its users, counted from the edge's access log as a stream: nothing is held but the counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coalmine.records import Arm, ReleaseId

_SLACK = 30.0  # seconds: lines are written at a request's end, and workers write side by side
_BACK = 0.5  # seconds from a verdict until no request is routed by the old split
_CLOSED = 499  # nginx's own: the client left before the answer
_UNANSWERED = frozenset({0, 444, _CLOSED, 502, 504})


@dataclass(slots=True)
class Cost:
    """Requests of one release, retries by clients included: each was one that somebody waited for.

    failed: 5xx or 499 of the canary's. lost: those of them that the service never answered (refused, cut off, timed
    out, or the client left). `bake_*` are the same after the promotion, when it served as the primary.
    """

    canary_requests: int = 0
    failed: int = 0
    lost: int = 0
    bake_requests: int = 0
    bake_failed: int = 0
    bake_lost: int = 0
    weights: list[tuple[float, int]] = field(default_factory=list)  # (time, canary's percent), where it changed


def count(access_log: Path, release: ReleaseId, *, started: float, ended: float) -> Cost:
    """Count `release`'s requests that ended in [started, ended]; a log that is not there counts nothing.

    Those that the canary was still at when it ended count as well, once logged: a hanging one is known by them.
    """
    cost, wanted = Cost(), str(release)
    for path in (access_log.with_name(f"{access_log.name}.1"), access_log):
        for line in _lines(path, started, ended):
            if line.get("release") == wanted:
                _add(cost, line)
    return cost


def _add(cost: Cost, line: dict[str, Any]) -> None:
    status = int(line.get("status", 0))
    failed = status >= 500 or status in {0, 444, _CLOSED}
    lost = status in _UNANSWERED and not line.get("service_ms")
    if line.get("arm") == Arm.CANARY:
        cost.canary_requests += 1
        cost.failed += failed
        cost.lost += lost
        weight = int(line.get("weight") or 0)
        if not cost.weights or cost.weights[-1][1] != weight:
            cost.weights.append((float(line["t"]), weight))
    elif line.get("arm") == Arm.PRIMARY:
        cost.bake_requests += 1
        cost.bake_failed += failed
        cost.bake_lost += lost


def _lines(path: Path, started: float, ended: float) -> Iterator[dict[str, Any]]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(_find(file.fileno(), started - _SLACK))
        for raw in file:
            line = _parse(raw)
            if line is None:
                continue  # a half line at the end, or one that the seek has cut
            if line["t"] > ended + _SLACK:
                return
            if started <= line["t"] <= ended + _in_flight(line):
                yield line


def _in_flight(line: dict[str, Any]) -> float:
    """For how long after the verdict a request may end that was the canary's before."""
    taken = line.get("seconds")
    return _BACK + (taken if isinstance(taken, int | float) else 0.0) if line.get("arm") == Arm.CANARY else 0.0


def _parse(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("t"), int | float) else None


def _find(file: int, wanted: float) -> int:
    """A byte offset before the first line later than `wanted`: bisection, as a day's log is gigabytes."""
    low, high = 0, os.fstat(file).st_size
    while high - low > 1 << 16:
        middle = (low + high) // 2
        t = next((line["t"] for line in map(_parse, os.pread(file, 1 << 15, middle).splitlines()[1:]) if line), None)
        if t is not None and t < wanted:
            low = middle
        else:
            high = middle
    return low
