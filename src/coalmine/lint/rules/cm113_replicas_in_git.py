"""CM113: the number of replicas of a Canary's target is in git."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        target = estate.target(canary)
        if target is not None and target.maker is None and target.at("spec", "replicas") is not None:
            yield target.hit(("spec", "replicas"), f"replicas: {target.at('spec', 'replicas')} in git")


RULE = Rule(
    id="CM113",
    title="Replicas of a Canary's target in git",
    severity=Severity.ERROR,
    reason="Flagger scales the target to 0 after each rollout, and Argo CD scales it up again: two controllers that "
    "undo each other for ever.",
    remedy="Leave `spec.replicas` out; say the number by a HorizontalPodAutoscaler that the Canary names in "
    "autoscalerRef.",
    source="Flagger 1.44, pkg/canary/deployment_controller.go, ScaleToZero",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(CANARY, swapped(DEPLOYMENT, "spec:\n  selector", "spec:\n  replicas: 2\n  selector")),
)
