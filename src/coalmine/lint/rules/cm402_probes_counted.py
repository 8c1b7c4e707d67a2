"""CM402: probes are counted as requests."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.queries import queries
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_SERIES = re.compile(
    r"bentoml_service_request_(?:total|duration_seconds(?:_bucket|_sum|_count)?)\s*(\{(?:[^}\"]|\"(?:[^\"\\]|\\.)*\")*\})?"
)


def check(estate: Estate) -> Iterator[Hit]:
    for query in queries(estate):
        for match in _SERIES.finditer(query.text):
            if not re.search(r"\bendpoint\s*(?:=|!=|=~|!~)", match[1] or ""):
                yield query.obj.hit(query.path, f"{query.title}{match[0][:60]} without `endpoint`")


_RULES = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: service, namespace: sentiment}
spec:
  groups:
    - name: service
      rules:
        - alert: ServiceFails
          expr: sum(rate(bentoml_service_request_total{http_response_code=~"5..",endpoint="/predict"}[5m])) > 1
"""

RULE = Rule(
    id="CM402",
    title="Probes counted as requests",
    severity=Severity.ERROR,
    reason="BentoML counts its own probes, and all of them succeed: a canary that fails every prediction has an "
    "error rate that looks healthy.",
    remedy='Filter by `endpoint`: `endpoint="/predict"`, or `endpoint!~"/(healthz|livez|readyz|metrics)"`.',
    source="BentoML 1.4.39, instruments.py; src/coalmine/judge/profiles.yaml, bentoml",
    check=check,
    good=_RULES,
    bad=swapped(_RULES, ',endpoint="/predict"', ""),
)
