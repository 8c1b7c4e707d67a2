"""The judge in Prometheus' words: its own /metrics, and /api/v1/query so that it can be a metric provider."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from prometheus_client import CONTENT_TYPE_LATEST, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from coalmine.judge.desk import Desk
from coalmine.judge.live import Live
from coalmine.records import Decision

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SELECTOR = re.compile(r"\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(?P<labels>[^{}]*)\})?\s*\Z")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"([^"\\]*)"\s*')
_VECTOR = re.compile(r"\s*vector\(\s*(-?[0-9]{1,30}(?:\.[0-9]{1,30})?)\s*\)\s*\Z")
_KEY = ("namespace", "name")


class Series(Collector):
    """Every series that the judge has, now: of its own work, and of each running analysis."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterable[Metric]:
        yield from self._desk.tally.registry.collect()
        yield from _analyses(self._desk.everything(), self._desk.clock())


def _analyses(running: list[Live], now: float) -> Iterator[Metric]:
    log_e = GaugeMetricFamily("coalmine_log_e_mean", "ln of the mean evidence to roll back", labels=_KEY)
    weight = GaugeMetricFamily("coalmine_weight", "percent of traffic on the canary", labels=_KEY)
    decision = GaugeMetricFamily("coalmine_decision", "1 for what is decided now", labels=(*_KEY, "decision"))
    per_metric = (*_KEY, "metric")
    worse = GaugeMetricFamily("coalmine_log_e_rollback", "ln of the evidence to roll back", labels=per_metric)
    good = GaugeMetricFamily("coalmine_log_e_noninferior", "ln of the evidence to promote", labels=per_metric)
    seen = CounterMetricFamily("coalmine_canary_outcomes", "canary outcomes", labels=per_metric)
    bad = CounterMetricFamily("coalmine_canary_bad", "canary outcomes that were bad", labels=per_metric)
    for live in running:
        key, verdict = (live.row.namespace, live.row.name), live.verdict(now)
        log_e.add_metric(key, verdict.log_e_mean)
        weight.add_metric(key, float(live.counting.weight or 0))
        for one in Decision:
            decision.add_metric((*key, str(one)), float(verdict.decision is one))
        for metric in verdict.metrics:
            labels = (*key, metric.name)
            worse.add_metric(labels, metric.log_e_rollback)
            good.add_metric(labels, metric.log_e_noninferior)
            seen.add_metric(labels, metric.n_c)
            bad.add_metric(labels, metric.e_c)
    yield from (log_e, weight, decision, worse, good, seen, bad)


def exposition(desk: Desk) -> bytes:
    """Prometheus' text format."""
    return generate_latest(Series(desk))


def form_query(body: bytes) -> str:
    try:
        return parse_qs(body.decode("utf-8", "replace"), max_num_fields=100).get("query", [""])[0]
    except ValueError:
        return ""


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
    samples = (sample for family in Series(desk).collect() for sample in family.samples)
    return 200, _vector([s for s in samples if s.name == selector["name"] and wanted <= s.labels.items()], now)


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
