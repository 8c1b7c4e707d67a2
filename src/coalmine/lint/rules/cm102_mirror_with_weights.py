"""CM102: traffic mirrored on the Gateway API keeps the weights from growing."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        analysis = mapping(canary.data, "spec", "analysis")
        weighted = analysis.get("stepWeight") or analysis.get("stepWeights")
        if canary.text("spec", "provider").startswith("gatewayapi") and analysis.get("mirror") and weighted:
            yield canary.hit(("spec", "analysis", "mirror"), "mirror together with weights")


RULE = Rule(
    id="CM102",
    title="Mirror together with weights",
    severity=Severity.ERROR,
    reason="On the Gateway API Flagger reads the mirrored step back at every tick and never takes the first weight.",
    remedy="Take `mirror` and `mirrorWeight` out.",
    source="Flagger 1.44, pkg/router/gateway_api.go and pkg/controller/scheduler.go",
    check=check,
    good=CANARY,
    bad=swapped(CANARY, "    threshold: 30", "    threshold: 30\n    mirror: true"),
)
