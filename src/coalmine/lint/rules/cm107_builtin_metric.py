"""CM107: a builtin metric of Flagger's asks for series that nothing here emits."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps

BUILTIN = ("request-success-rate", "request-duration")


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        for index, metric in maps(canary.data, "spec", "analysis", "metrics"):
            if metric.get("name") in BUILTIN and not metric.get("templateRef") and not metric.get("query"):
                yield canary.hit(("spec", "analysis", "metrics", index), f"{metric.get('name')} is builtin")


RULE = Rule(
    id="CM107",
    title="Builtin metric",
    severity=Severity.ERROR,
    reason="For the Gateway API Flagger's builtin queries match neither BentoML's series nor the gateway's; a query "
    "that returns nothing is a failed check, and a healthy release is rolled back.",
    remedy="Name a MetricTemplate in `templateRef`.",
    source="Flagger 1.44, pkg/metrics/observers; BentoML 1.4.39, instruments.py",
    check=check,
    good=CANARY,
    bad=swapped(CANARY, "{name: backstop, interval: 1m, templateRef: {name: backstop},", "{name: request-duration,"),
)
