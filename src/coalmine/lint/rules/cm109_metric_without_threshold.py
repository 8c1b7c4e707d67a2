"""CM109: a metric without a bound fails on anything above zero."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, maps


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        for index, metric in maps(canary.data, "spec", "analysis", "metrics"):
            bounds = mapping(metric, "thresholdRange")
            if "threshold" not in metric and not {"min", "max"} & set(bounds):
                what = f"{metric.get('name')} has neither thresholdRange nor threshold"
                yield canary.hit(("spec", "analysis", "metrics", index), what)


RULE = Rule(
    id="CM109",
    title="Metric without a threshold",
    severity=Severity.ERROR,
    reason="Flagger then compares with its deprecated `threshold`, which is 0: every value above zero is a failed "
    "check.",
    remedy="Give `thresholdRange: {max: ...}` or `{min: ...}`.",
    source="Flagger 1.44, pkg/controller/scheduler_metrics.go: val > metric.Threshold",
    check=check,
    good=CANARY,
    bad=swapped(CANARY, ", thresholdRange: {max: 20}", ""),
)
