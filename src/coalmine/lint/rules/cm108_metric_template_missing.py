"""CM108: a metric names a MetricTemplate that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, TEMPLATE, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import at, maps


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        for index, metric in maps(canary.data, "spec", "analysis", "metrics"):
            name = str(at(metric, "templateRef", "name") or "")
            namespace = str(at(metric, "templateRef", "namespace") or canary.namespace)
            known = estate.knows("MetricTemplate", namespace)
            if name and known and estate.find("MetricTemplate", namespace, name) is None:
                path = ("spec", "analysis", "metrics", index, "templateRef")
                yield canary.hit(path, f"there is no MetricTemplate {namespace}/{name}")


RULE = Rule(
    id="CM108",
    title="MetricTemplate that is not there",
    severity=Severity.ERROR,
    reason="Each tick fails with `metric template not found`: no canary of this kind is ever promoted.",
    remedy="Add the MetricTemplate, or mend the name or namespace.",
    source="Flagger 1.44, pkg/controller/scheduler_metrics.go",
    check=check,
    good=together(CANARY, TEMPLATE),
    bad=together(CANARY, swapped(TEMPLATE, "name: backstop", "name: evidence-backstop")),
)
