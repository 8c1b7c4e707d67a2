"""The facts of one analysis, from its live state: what was decided, what it cost, what people said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from coalmine.judge import views
from coalmine.judge.live import Live
from coalmine.judge.policy import links
from coalmine.judge.report import words

_POINTS = 300  # of a plot: more than it has columns


def gather(
    live: Live, now: float, *, events: Sequence[Mapping[str, Any]] = (), overrides: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """As `coalmine.judge.report.facts`."""
    view = views.analysis(live, now)
    return {
        "title": " ".join(filter(None, (f"{view['namespace']}/{view['name']}", view["release"]))),
        "verdict": view["outcome"] or view["decision"].lower(),
        "headline": words.headline(view),
        "sentence": view["sentence"],
        "written": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        "analysis": view,
        "trace": views.trace(live, limit=_POINTS),
        "cost": cost(view),
        "overrides": [dict(one) for one in overrides],
        "events": [dict(one) for one in events],
        "links": links.fill(live.policy.links, {place: str(view[place]) for place in links.SHOWN}),
    }


def cost(view: Mapping[str, Any]) -> dict[str, Any]:
    """What users paid. `extra_failures`: those above what the primary's own rate would have caused among the requests
    that the canary got, step by step; what came after the verdict at the primary's rate over all. None where nothing
    was compared. Below 0: fewer than expected.
    """
    errors = [name for name, metric in view["metrics"].items() if metric["kind"] == "errors"]
    cells = [s["counts"][name] for s in view["steps"] if s["weight"] > 0 for name in errors if name in s["counts"]]
    extra = [c["e_c"] - c["n_c"] * c["e_b"] / c["n_b"] for c in cells if c["n_b"]]
    baked = sum(view["metrics"][name]["baked_e"] for name in errors)
    failed = view["failed"] - baked
    if extra:
        n_c, e_c, n_b, e_b = (sum(cell[key] for cell in cells) for key in ("n_c", "e_c", "n_b", "e_b"))
        extra.append(failed - e_c - max(0, view["canary_requests"] - n_c) * e_b / n_b)
    return {
        "canary_requests": view["canary_requests"],
        "failed": failed,
        "extra_failures": round(sum(extra), 1) if extra else None,
        "bake_requests": view["bake_requests"],
        "bake_failed": baked,
    }
