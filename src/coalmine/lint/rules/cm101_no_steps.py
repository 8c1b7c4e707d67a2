"""CM101: a Canary without steps never gets traffic."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        analysis = mapping(canary.data, "spec", "analysis")
        if not any(analysis.get(key) for key in ("stepWeight", "stepWeights", "iterations")):
            yield canary.hit(("spec", "analysis"), "neither stepWeight, stepWeights nor iterations")


RULE = Rule(
    id="CM101",
    title="Canary without steps",
    severity=Severity.ERROR,
    reason="Without a step Flagger starts the analysis and never advances: the new release waits for ever.",
    remedy="Give `stepWeights: [5, 10, 25, 50]`, or `stepWeight` with `maxWeight`.",
    source="Flagger 1.44, pkg/controller/scheduler.go, nextStepWeight",
    check=check,
    good=CANARY,
    bad=swapped(CANARY, "stepWeights: [5, 10, 25, 50]", "maxWeight: 50"),
)
