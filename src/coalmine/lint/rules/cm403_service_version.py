"""CM403: arms are told apart by a label that says nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.queries import queries
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for query in queries(estate):
        if re.search(r"\bservice_version\s*=~?\s*\"", query.text):
            yield query.obj.hit(query.path, f"{query.title}selects by service_version")


_GOOD = """\
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: slow, namespace: sentiment}
spec:
  provider: {type: prometheus, address: "http://prometheus.monitoring:9090"}
  query: |
    histogram_quantile(0.99, sum by (le) (rate(bentoml_service_request_duration_seconds_bucket{
      pod=~"{{ target }}-[a-z0-9]+-[a-z0-9]{5}",endpoint="/predict"}[{{ interval }}])))
"""

RULE = Rule(
    id="CM403",
    title="Arms told apart by service_version",
    severity=Severity.WARNING,
    reason="The label is `not available` unless a built Bento is served, and two releases of one source have the "
    "same: the query returns nothing, or both arms.",
    remedy="Select by `pod`, which the scrape adds: the arm's Deployment and two random parts.",
    source="BentoML 1.4, instruments.py; src/coalmine/judge/profiles.yaml, bentoml",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, 'endpoint="/predict"', 'endpoint="/predict",service_version="m7-0a1b2c3"'),
)
