"""CM202: what answers Flagger's queries is not where they are sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.addresses import in_cluster, unreachable
from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, SERVICE, TEMPLATE, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_FLAG = re.compile(r"--?metrics-server=(.*)")


def check(estate: Estate) -> Iterator[Hit]:
    for template in estate.kind("MetricTemplate"):
        path = ("spec", "provider", "address")
        problem = unreachable(estate, in_cluster(estate, template.text(*path), template.namespace))
        if problem:
            yield template.hit(path, problem)
    for canary in estate.kind("Canary"):
        address = in_cluster(estate, canary.text("spec", "metricsServer"), canary.namespace)
        problem = unreachable(estate, address) if canary.at("spec", "metricsServer") else ""
        if problem:
            yield canary.hit(("spec", "metricsServer"), problem)


RULE = Rule(
    id="CM202",
    title="Metrics asked of nobody",
    severity=Severity.ERROR,
    reason="A query that cannot be asked is a failed check: a healthy release is rolled back for it.",
    remedy="Let `provider.address` name the Service and port that answer Prometheus' API.",
    source="Flagger 1.44, pkg/metrics/providers/prometheus.go",
    check=check,
    good=together(TEMPLATE, SERVICE, JUDGE),
    bad=together(swapped(TEMPLATE, "judge.coalmine:8090", "judges.coalmine:8090"), SERVICE, JUDGE),
)
