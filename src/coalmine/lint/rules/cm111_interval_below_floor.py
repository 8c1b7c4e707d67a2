"""CM111: an interval below Flagger's floor."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import duration


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        interval = canary.at("spec", "analysis", "interval")
        length = duration(interval)
        if length is not None and length < 10:
            yield canary.hit(("spec", "analysis", "interval"), f"{interval} is below 10s")


RULE = Rule(
    id="CM111",
    title="Interval below the floor",
    severity=Severity.ERROR,
    reason="Flagger reads anything below 10 s as 10 s: what was reckoned with the shorter interval takes longer, a "
    "rollback by threshold above all.",
    remedy="Write 10s or more.",
    source="Flagger 1.44, pkg/apis/flagger/v1beta1/canary.go, GetAnalysisInterval",
    check=check,
    good=CANARY,
    bad=swapped(CANARY, "interval: 10s", "interval: 5s"),
)
