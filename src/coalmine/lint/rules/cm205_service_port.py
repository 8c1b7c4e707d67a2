"""CM205: a Service sends to a port that its pods do not have."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, SERVICE, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps


def check(estate: Estate) -> Iterator[Hit]:
    for service in estate.kind("Service"):
        for index, port in maps(service.data, "spec", "ports"):
            target = port.get("targetPort") or port.get("port")
            for pod in estate.behind(service):
                if not pod.listens(target):
                    path = ("spec", "ports", index)
                    yield service.hit(path, f"{pod.owner.title} has no port {target}")


RULE = Rule(
    id="CM205",
    title="Service port that no container has",
    severity=Severity.ERROR,
    reason="A name that no container port has gives no endpoint at all; a number that nothing listens on is refused.",
    remedy="Let `targetPort` be the name of a container's port.",
    source="Kubernetes, Service: targetPort",
    check=check,
    good=together(SERVICE, JUDGE),
    bad=together(swapped(SERVICE, "targetPort: http", "targetPort: web"), JUDGE),
)
