"""Analyses as JSON: what the API answers, the page draws and a report is made of."""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import Any

from coalmine.judge import decide
from coalmine.judge.decide import MetricEvidence, Verdict
from coalmine.judge.live import Live, Shown
from coalmine.judge.report import words
from coalmine.judge.sentences import NOUNS
from coalmine.judge.store import Row

_SHOWN = tuple(field.name for field in fields(Shown))
_WINDOW = 60.0  # seconds over which the arrival of the canary's outcomes is measured


def summary(row: Row) -> dict[str, Any]:
    """One line of the history."""
    return {
        "id": row.id, "namespace": row.namespace, "name": row.name, "checksum": row.checksum,
        "attempt": row.attempt, "status": row.status, "outcome": row.outcome, "started": row.opened, "ended": row.ended,
    }  # fmt: skip


def analysis(live: Live, now: float) -> dict[str, Any]:
    """All that a status, a report or a page needs. Rates are null without data, logs are natural."""
    moment = live.moment(now)
    verdict = live.verdict(moment)
    counting = live.counting
    gone = live.row.outcome == "superseded" or live.reverted
    decision = "SUPERSEDED" if gone else str(verdict.decision)
    before = counting.release if counting.alike else ""
    ratio = live.log_e_sample_ratio()
    routed = {int(step): count for step, count in counting.routed.copy().items()}
    metrics = {metric.name: _metric(metric, live, verdict, now=moment) for metric in verdict.metrics}
    view = {
        **summary(live.row),
        "status": "baking" if live.row.status == "open" and live.baking else live.row.status,
        "release": counting.release,
        "primary": counting.baseline[-1] if counting.baseline else before,
        "decision": decision,
        "reason": live.reverted or verdict.reason,
        "decided": live.state.latched,
        "exposed": counting.exposed,
        "bake_started": live.promoted,
        "weight": counting.weight,
        "weights": [{"t": t, "epoch": int(epoch), "weight": int(weight)} for t, epoch, weight in counting.weights],
        "canary_requests": sum(count for step, count in routed.items() if step > 0),
        "bake_requests": routed.get(-1, 0),
        "failed": counting.failed,
        "log_e_mean": verdict.log_e_mean,
        "odds": decide.odds(verdict.log_e_mean),
        "threshold_rollback": verdict.threshold_rollback,
        "threshold_promote": verdict.threshold_promote,
        "odds_needed_rollback": decide.odds(verdict.threshold_rollback),
        "odds_needed_promote": decide.odds(verdict.threshold_promote),
        "sample_ratio": {"log_e": ratio, "alarm": ratio > -math.log(live.policy.alpha)},
        "override": None if live.override is None else asdict(live.override),
        "promotion": _promotion(live, metrics),
        "metrics": metrics,
        "steps": _steps(live),
        "policy": live.policy.model_dump(mode="json"),
    }
    return {**view, "sentence": words.sentence(view)}


def trace(live: Live, *, limit: int = 0) -> list[dict[str, Any]]:
    """The evidence over time, for plots: one point for each time at which polls were cut. With a `limit` about that
    many of them, the last one always.
    """
    points = live.trace
    every = max(1, -(-len(points) // limit)) if limit else 1
    chosen = points[::every] + (points[-1:] if points and (len(points) - 1) % every else [])
    return [
        {
            "t": point.t,
            "weight": point.weight,
            "log_e_mean": point.log_e_mean,
            "metrics": {name: {key: getattr(shown, key) for key in _SHOWN} for name, shown in point.metrics.items()},
        }
        for point in chosen
    ]


def _metric(metric: MetricEvidence, live: Live, verdict: Verdict, *, now: float) -> dict[str, Any]:
    """The evidence with its margins, in words where a person reads it, and what it still needs."""
    rules = live.policy.metrics[metric.name]
    needs = _needs(metric, verdict)
    arrival = _arrival(live, metric, now=now)
    return {
        **asdict(metric),
        "parts": [
            {**asdict(part), "odds": None if part.log_e is None else decide.odds(part.log_e)} for part in metric.parts
        ],
        "noun": NOUNS.get(metric.kind, metric.name) if metric.name == metric.kind else metric.name,
        "against": str(rules.against),
        "tolerated_rate": rules.tolerated_rate,
        "odds_ratio_rollback": rules.odds_ratio_rollback,
        "odds_ratio_promote": rules.odds_ratio_promote,
        "odds_rollback": decide.odds(metric.log_e_rollback + metric.log_boost),
        "odds_noninferior": decide.odds(metric.log_e_noninferior),
        "arrival": arrival,
        "needs": needs,
        "needs_seconds": None if needs is None else 0.0 if not needs else needs / arrival if arrival else None,
    }


def _needs(metric: MetricEvidence, verdict: Verdict) -> int | None:
    """About how many more canary outcomes a promotion needs, if it goes on as it went; None: no telling."""
    missing = verdict.threshold_promote - metric.log_e_noninferior
    if missing <= 0:
        return 0
    return math.ceil(metric.n_c * missing / metric.log_e_noninferior) if metric.log_e_noninferior > 0.2 else None


def _arrival(live: Live, metric: MetricEvidence, *, now: float) -> float:
    """Canary outcomes of this metric a second, over the last minute or since the canary got traffic."""
    exposed = live.counting.exposed
    if exposed is None or not metric.n_c:
        return 0.0
    begun = max(exposed, now - _WINDOW)
    earlier = (point.metrics[metric.name].n_c for point in reversed(live.trace) if point.t <= begun)
    return (metric.n_c - next(earlier, 0)) / max(now - begun, 1.0)


def _promotion(live: Live, metrics: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The guardrail that a promotion waits for longest, and the time until then; None: no telling."""
    guards = [metric for metric in metrics.values() if metric["role"] == "guardrail"]
    if any(metric["needs"] is None for metric in guards):
        return None
    last = max(guards, key=lambda metric: math.inf if metric["needs_seconds"] is None else metric["needs_seconds"])
    passed = 0.0 if live.state.started is None else live.state.t - live.state.started
    minimum = max(0.0, live.policy.minimum_seconds - passed)
    seconds = last["needs_seconds"]
    return {
        "metric": last["name"],
        "outcomes": last["needs"],
        "seconds": None if seconds is None else max(seconds, minimum),
    }


def _steps(live: Live) -> list[dict[str, Any]]:
    """Counts of each metric's main part in each step of the ramp."""
    found = []
    for position, weight in enumerate(live.state.steps):
        counts = {
            name: dict(zip(("n_c", "e_c", "n_b", "e_b"), map(int, metric.counts[position, 0]), strict=True))
            for name, metric in live.state.metrics.items()
            if position < len(metric.counts)
        }
        found.append({"weight": weight, "counts": counts})
    return found
