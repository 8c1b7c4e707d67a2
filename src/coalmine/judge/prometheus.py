"""The judge in Prometheus' words: its own /metrics, and /api/v1/query so that it can be a metric provider."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from coalmine.judge.desk import Desk

_SELECTOR = re.compile(r"\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(?P<labels>[^{}]*)\})?\s*\Z")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"([^"\\]*)"\s*')
_VECTOR = re.compile(r"\s*vector\(\s*(-?[0-9]+(?:\.[0-9]+)?)\s*\)\s*\Z")


@dataclass(frozen=True, slots=True)
class Sample:
    name: str
    labels: dict[str, str]
    value: float


def samples(desk: Desk) -> list[Sample]:
    """Every series that the judge has, now."""
    tally, now = desk.tally, desk.clock()
    found = [
        Sample("coalmine_judge_lines_total", {}, tally.lines),
        Sample("coalmine_judge_votes_total", {}, tally.votes),
        Sample("coalmine_judge_lines_skipped_total", {}, tally.skipped),
        Sample("coalmine_judge_polls_total", {}, tally.polls),
        Sample("coalmine_judge_pass_failures_total", {}, tally.failures),
        Sample("coalmine_judge_pass_seconds_total", {}, tally.pass_seconds),
    ]
    for live in desk.everything():
        key = {"namespace": live.row.namespace, "name": live.row.name}
        verdict = live.verdict(now)
        found.append(Sample("coalmine_log_e_mean", key, verdict.log_e_mean))
        found.append(Sample("coalmine_weight", key, float(live.counting.weight or 0)))
        for decision in ("ROLLBACK", "PROMOTE", "CONTINUE", "INCONCLUSIVE"):
            labels = {**key, "decision": decision}
            found.append(Sample("coalmine_decision", labels, float(verdict.decision == decision)))
        for metric in verdict.metrics:
            labels = {**key, "metric": metric.name}
            found.append(Sample("coalmine_log_e_rollback", labels, metric.log_e_rollback))
            found.append(Sample("coalmine_log_e_noninferior", labels, metric.log_e_noninferior))
            found.append(Sample("coalmine_canary_outcomes_total", labels, metric.n_c))
            found.append(Sample("coalmine_canary_bad_total", labels, metric.e_c))
    return found


def exposition(desk: Desk) -> str:
    """Prometheus' text format."""
    lines: list[str] = []
    named: set[str] = set()
    for sample in sorted(samples(desk), key=lambda s: s.name):
        if sample.name not in named:
            named.add(sample.name)
            lines.append(f"# TYPE {sample.name} {'counter' if sample.name.endswith('_total') else 'gauge'}")
        labels = ",".join(f'{key}="{value}"' for key, value in sample.labels.items())
        lines.append(f"{sample.name}{{{labels}}} {sample.value}" if labels else f"{sample.name} {sample.value}")
    return "\n".join(lines) + "\n"


def form_query(body: bytes) -> str:
    return parse_qs(body.decode("utf-8", "replace")).get("query", [""])[0]


def query(desk: Desk, text: str) -> tuple[int, dict[str, Any]]:
    """An instant vector: `vector(1)`, or one of the judge's own series with labels to match exactly."""
    now = desk.clock()
    constant = _VECTOR.match(text)
    if constant:
        return 200, _vector([Sample("", {}, float(constant[1]))], now)
    selector = _SELECTOR.match(text)
    labels = None if selector is None else _labels(selector["labels"] or "")
    if selector is None or labels is None:
        error = 'only vector(1) and name{label="value"} are understood'
        return 400, {"status": "error", "errorType": "bad_data", "error": error}
    wanted = labels.items()
    return 200, _vector([s for s in samples(desk) if s.name == selector["name"] and wanted <= s.labels.items()], now)


def _labels(text: str) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for part in filter(str.strip, text.split(",")):
        match = _LABEL.fullmatch(part)
        if match is None:
            return None
        found[match[1]] = match[2]
    return found


def _vector(found: list[Sample], now: float) -> dict[str, Any]:
    result = [
        {"metric": ({"__name__": s.name} if s.name else {}) | s.labels, "value": [now, f"{s.value:.15g}"]}
        for s in found
    ]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}
