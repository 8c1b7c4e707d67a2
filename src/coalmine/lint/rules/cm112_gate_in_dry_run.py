"""CM112: the analysis is skipped, or the Canary stands still."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        for field in ("skipAnalysis", "suspend"):
            if canary.at("spec", field) is True:
                yield canary.hit(("spec", field), f"{field}: true in git")
        if canary.at("spec", "analysis") is None:
            yield canary.hit(("spec",), "no analysis, which Flagger reads as skipAnalysis")


RULE = Rule(
    id="CM112",
    title="A gate that is switched off",
    severity=Severity.ERROR,
    reason="With `skipAnalysis` every release is promoted unseen, with `suspend` none is looked at. A gate that "
    "ships in dry-run never blocks.",
    remedy="Take the field out. For one emergency set it on the live object, by hand, and say so.",
    source="Flagger 1.44, pkg/apis/flagger/v1beta1/canary.go, SkipAnalysis",
    check=check,
    good=CANARY,
    bad=swapped(CANARY, "  progressDeadlineSeconds: 300", "  progressDeadlineSeconds: 300\n  skipAnalysis: true"),
)
