"""Analyses as JSON: what the API answers, the page draws and a report is made of."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from coalmine.judge import decide
from coalmine.judge.decide import MetricEvidence, Verdict
from coalmine.judge.live import Live
from coalmine.judge.store import Row


def summary(row: Row) -> dict[str, Any]:
    """One line of the history."""
    return {
        "id": row.id, "namespace": row.namespace, "name": row.name, "checksum": row.checksum,
        "attempt": row.attempt, "status": row.status, "outcome": row.outcome, "started": row.opened, "ended": row.ended,
    }  # fmt: skip


def analysis(live: Live, now: float) -> dict[str, Any]:
    """All that a status, a report or a page needs. Rates are null without data, logs are natural."""
    verdict = live.verdict(live.moment(now))
    counting = live.counting
    decision = "SUPERSEDED" if live.row.outcome == "superseded" else str(verdict.decision)
    ratio = decide.log_e_sample_ratio(live.state, live.policy)
    routed = {int(step): count for step, count in counting.routed.items()}
    return {
        **summary(live.row),
        "status": "baking" if live.row.status == "open" and live.baking else live.row.status,
        "release": counting.release,
        "primary": counting.baseline[-1] if counting.baseline else "",
        "decision": decision,
        "reason": verdict.reason,
        "decided": live.state.latched,
        "exposed": counting.exposed,
        "bake_started": counting.baking,
        "weight": counting.weight,
        "weights": [{"t": t, "epoch": int(epoch), "weight": int(weight)} for t, epoch, weight in counting.weights],
        "canary_requests": sum(count for step, count in routed.items() if step > 0),
        "bake_requests": routed.get(-1, 0),
        "failed": counting.failed,
        "log_e_mean": verdict.log_e_mean,
        "odds": decide.odds(verdict.log_e_mean),
        "threshold_rollback": verdict.threshold_rollback,
        "threshold_promote": verdict.threshold_promote,
        "sample_ratio": {"log_e": ratio, "alarm": ratio > -math.log(live.policy.alpha)},
        "metrics": {metric.name: {**asdict(metric), "needs": _needs(metric, verdict)} for metric in verdict.metrics},
        "steps": _steps(live),
        "policy": live.policy.model_dump(mode="json"),
    }


def trace(live: Live) -> list[dict[str, Any]]:
    """The evidence over time, for plots: one point for each time at which polls were cut."""
    return [
        {
            "t": point.t,
            "weight": point.weight,
            "log_e_mean": point.log_e_mean,
            "metrics": {name: asdict(shown) for name, shown in point.metrics.items()},
        }
        for point in live.trace
    ]


def _needs(metric: MetricEvidence, verdict: Verdict) -> int | None:
    """About how many more canary outcomes a promotion needs, if it goes on as it went; None: no telling."""
    missing = verdict.threshold_promote - metric.log_e_noninferior
    if missing <= 0:
        return 0
    return math.ceil(metric.n_c * missing / metric.log_e_noninferior) if metric.log_e_noninferior > 0.2 else None


def _steps(live: Live) -> list[dict[str, Any]]:
    """Counts of each metric in each step of the ramp."""
    found = []
    for position, weight in enumerate(live.state.steps):
        counts = {
            name: dict(zip(("n_c", "e_c", "n_b", "e_b"), map(int, metric.counts[position]), strict=True))
            for name, metric in live.state.metrics.items()
            if position < len(metric.counts)
        }
        found.append({"weight": weight, "counts": counts})
    return found
