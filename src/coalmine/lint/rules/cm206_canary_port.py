"""CM206: the port of a Canary's service is none of its target's."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping


def check(estate: Estate) -> Iterator[Hit]:
    for canary, pod in estate.canary_pods():
        service = mapping(canary.data, "spec", "service")
        port = service.get("targetPort") or service.get("port")
        if port is not None and not pod.listens(port):
            field = "targetPort" if service.get("targetPort") else "port"
            yield canary.hit(("spec", "service", field), f"{pod.owner.title} has no port {port}")


RULE = Rule(
    id="CM206",
    title="Canary's port that no container has",
    severity=Severity.ERROR,
    reason="Flagger makes the Services of both arms with this port: all requests through the gateway fail at the "
    "primary already.",
    remedy="Let `service.targetPort` (or `port`) be a port of the target's container.",
    source="Flagger 1.44, pkg/router/kubernetes_default.go, reconcileService",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(swapped(CANARY, "port: 8443", "port: 8080"), DEPLOYMENT),
)
