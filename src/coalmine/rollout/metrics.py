"""MetricTemplates as Flagger asks them: one instant query to a Prometheus API, compared with the Canary's range.

No value, or NaN, is `NO_DATA`: an outcome of its own, and a failed check. Of several series the last one counts, as
in Flagger's provider (pkg/metrics/providers/prometheus.go); its time-out is 5 s.
"""

from __future__ import annotations

import math
from typing import Any

import httpx

from coalmine.rollout.canary import Canary
from coalmine.rollout.schema import Metric
from coalmine.rollout.services import Services
from coalmine.rollout.state import Answer, Said

TIMEOUT_SECONDS = 5.0


def query_metric(services: Services, canary: Canary, metric: Metric) -> Answer:
    """Ask the metric's provider. YES: in range; NO: outside it, or the provider refuses; never raises for that."""
    template = canary.templates[metric.template_ref.name if metric.template_ref else ""]
    provider = template.spec.provider
    address = provider.address.rstrip("/") + "/api/v1/query"
    headers = [(name, value) for name, values in provider.headers.items() for value in values]
    try:
        response = services.client(verify=not provider.insecure_skip_verify).get(
            services.resolve(address),
            params={"query": canary.query(metric)},
            headers=[*headers, ("Host", httpx.URL(address).netloc.decode())],
            timeout=TIMEOUT_SECONDS,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Answer(Said.UNREACHABLE, f"{type(error).__name__}: {error}")
    if response.status_code >= 500:
        return Answer(Said.UNREACHABLE, f"status {response.status_code}")
    if response.status_code >= 400:
        return Answer(Said.NO, f"the provider refuses: status {response.status_code} {response.text[:200]}")
    try:
        value = read_value(response.json())
    except ValueError as error:
        return Answer(Said.NO, f"the provider's answer cannot be read: {error}")
    if value is None:
        return Answer(Said.NO_DATA, f"no values found for {metric.name}")
    return judge_value(metric, value)


def read_value(body: Any) -> float | None:
    """The last series' value in a Prometheus answer; None where there is none. Raises ValueError for another shape."""
    try:
        series = body["data"]["result"]
        if any("values" in one for one in series):
            raise ValueError("a range of values instead of one")
        values = [float(one["value"][1]) for one in series]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no Prometheus answer ({error!r})") from error
    return values[-1] if values and not math.isnan(values[-1]) else None


def judge_value(metric: Metric, value: float) -> Answer:
    """A value against thresholdRange, or against the older `threshold` as its maximum."""
    allowed = metric.threshold_range
    low = allowed.min if allowed else None
    high = allowed.max if allowed else metric.threshold
    if low is not None and value < low:
        return Answer(Said.NO, f"{metric.name} {value:g} < {low:g}")
    if high is not None and value > high:
        return Answer(Said.NO, f"{metric.name} {value:g} > {high:g}")
    return Answer(Said.YES, f"{metric.name} {value:g}")
