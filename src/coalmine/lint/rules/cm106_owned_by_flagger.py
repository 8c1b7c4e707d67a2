"""CM106: Services and workloads that Flagger makes are kept in git as well."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, together
from coalmine.lint.made import service_names
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        names = [("Service", name) for name in service_names(canary)]
        target = canary.text("spec", "targetRef", "name")
        names += [(kind, f"{target}-primary") for kind in ("Deployment", "DaemonSet", "HorizontalPodAutoscaler")]
        for kind, name in names:
            obj = estate.find(kind, canary.namespace, name)
            if obj is not None and obj.maker is None:
                yield obj.hit(("metadata", "name"), f"Flagger makes and changes this {kind}, for Canary {canary.name}")


_SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: sentiment-metrics, namespace: sentiment}
spec: {ports: [{port: 9000}]}
"""

RULE = Rule(
    id="CM106",
    title="What Flagger makes in git",
    severity=Severity.ERROR,
    reason="Flagger makes `<name>`, `<name>-primary` and `<name>-canary` and turns their selectors: a copy in git "
    "fights with it at every sync, and requests go to the wrong arm meanwhile.",
    remedy="Take it out of git; ports and metadata belong to the Canary's `spec.service`.",
    source="Flagger 1.44, pkg/router/kubernetes_default.go and pkg/canary/deployment_controller.go",
    check=check,
    good=together(CANARY, _SERVICE),
    bad=together(CANARY, swapped(_SERVICE, "sentiment-metrics", "sentiment")),
)
