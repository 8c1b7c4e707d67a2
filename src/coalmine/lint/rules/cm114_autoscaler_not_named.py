"""CM114: an autoscaler of a Canary's target that the Canary does not name."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        target = canary.text("spec", "targetRef", "name")
        named = (canary.text("spec", "autoscalerRef", "kind"), canary.text("spec", "autoscalerRef", "name"))
        for scaler in estate.kind("HorizontalPodAutoscaler", "ScaledObject"):
            scales = scaler.namespace == canary.namespace and scaler.text("spec", "scaleTargetRef", "name") == target
            if scales and named != (scaler.kind, scaler.name):
                yield scaler.hit(("spec", "scaleTargetRef"), f"Canary {canary.name} has no autoscalerRef to it")


_SCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: sentiment, namespace: sentiment}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: sentiment}
  minReplicas: 2
  maxReplicas: 4
"""
_NAMED = swapped(
    CANARY,
    "  progressDeadlineSeconds",
    "  autoscalerRef: {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: sentiment}\n"
    "  progressDeadlineSeconds",
)

RULE = Rule(
    id="CM114",
    title="Autoscaler that the Canary does not name",
    severity=Severity.ERROR,
    reason="Flagger copies only the autoscaler that it is told of: else the primary, which has the traffic, is never "
    "scaled, and the one in git scales a target that Flagger holds at 0.",
    remedy="Name it in the Canary's `spec.autoscalerRef`.",
    source="Flagger 1.44, pkg/canary/hpa_reconciler.go",
    check=check,
    good=together(_NAMED, _SCALER),
    bad=together(CANARY, _SCALER),
)
