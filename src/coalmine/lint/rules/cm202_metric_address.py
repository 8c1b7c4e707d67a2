"""CM202: what answers Flagger's queries is not where they are sent."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.addresses import in_cluster, unreachable
from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, SERVICE, TEMPLATE, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for template in estate.kind("MetricTemplate"):
        problem = unreachable(
            estate, in_cluster(estate, template.text("spec", "provider", "address"), template.namespace)
        )
        if problem:
            yield template.hit(("spec", "provider", "address"), problem)
    for app in estate.kind("Application"):
        path = ("spec", "source", "helm", "valuesObject", "metricsServer")
        problem = unreachable(estate, in_cluster(estate, app.text(*path), "")) if app.at(*path) else ""
        if problem:
            yield app.hit(path, problem)
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
