"""CM404: a release's success is counted by the release itself."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for template in estate.kind("MetricTemplate"):
        if "bentoml_service_request_total" in template.text("spec", "query"):
            yield template.hit(("spec", "query"), "success is taken from bentoml_service_request_total")


_GOOD = """\
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: errors, namespace: sentiment}
spec:
  provider: {type: prometheus, address: "http://prometheus.monitoring:9090"}
  query: |
    sum(rate(envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}[{{ interval }}]))
"""

RULE = Rule(
    id="CM404",
    title="Success as the service tells it",
    severity=Severity.ERROR,
    reason="The requests of a worker that was killed are not counted at all, and a pod that nobody reaches counts "
    "nothing: the worst releases look best.",
    remedy="Take success from the proxy before the pods; BentoML's series as a second metric in the judge's policy.",
    source="BentoML 1.4.39, instruments.py; src/coalmine/judge/profiles.yaml",
    check=check,
    good=_GOOD,
    bad=swapped(
        _GOOD,
        'envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}',
        'bentoml_service_request_total{endpoint="/predict",http_response_code=~"5.."}',
    ),
)
