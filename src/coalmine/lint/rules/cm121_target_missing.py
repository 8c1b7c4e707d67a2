"""CM121: a Canary's target is not there."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        kind = canary.text("spec", "targetRef", "kind") or "Deployment"
        if estate.knows(kind, canary.namespace) and estate.target(canary) is None:
            name = canary.text("spec", "targetRef", "name")
            yield canary.hit(("spec", "targetRef"), f"there is no {kind} {canary.namespace}/{name}")


RULE = Rule(
    id="CM121",
    title="Target that is not there",
    severity=Severity.ERROR,
    reason="Flagger waits for the target at each tick and says so in its log only: the Canary is never initialized.",
    remedy="Mend `targetRef`, or the namespace of one of the two.",
    source="Flagger 1.44, pkg/canary/deployment_controller.go, Initialize",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(
        swapped(CANARY, "kind: Deployment, name: sentiment", "kind: Deployment, name: sentiments"), DEPLOYMENT
    ),
)
