"""CM321: an autoscaler scales what is not there."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for scaler in estate.kind("HorizontalPodAutoscaler"):
        kind, name = scaler.text("spec", "scaleTargetRef", "kind"), scaler.text("spec", "scaleTargetRef", "name")
        if estate.knows(kind, scaler.namespace) and estate.find(kind, scaler.namespace, name) is None:
            yield scaler.hit(("spec", "scaleTargetRef"), f"there is no {kind} {scaler.namespace}/{name}")


_SCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: judge, namespace: coalmine}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: judge}
  maxReplicas: 2
"""

RULE = Rule(
    id="CM321",
    title="Autoscaler of nothing",
    severity=Severity.ERROR,
    reason="It says so in its conditions and scales nothing.",
    remedy="Mend `scaleTargetRef`.",
    source="Kubernetes, HorizontalPodAutoscaler",
    check=check,
    good=together(_SCALER, JUDGE),
    bad=together(swapped(_SCALER, "kind: Deployment, name: judge", "kind: Deployment, name: judges"), JUDGE),
)
