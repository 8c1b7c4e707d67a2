"""CM209: a Gateway that closes connections at each weight."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, GATEWAY, together
from coalmine.lint.gateways import class_of, parents
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        for gateway in parents(estate, canary):
            if "nginx.org" in class_of(estate, gateway):
                yield canary.hit(("spec", "service", "gatewayRefs"), f"{gateway.title} reloads nginx at each weight")


_NGF = swapped(GATEWAY, "gateway.envoyproxy.io/gatewayclass-controller", "gateway.nginx.org/nginx-gateway-controller")

RULE = Rule(
    id="CM209",
    title="Gateway that reloads at each weight",
    severity=Severity.WARNING,
    reason="NGINX Gateway Fabric reloads nginx at every change of a weight, and a reload closes idle keep-alive "
    "connections: 217 of 13,700 POSTs of plain clients failed so. A canary then costs requests although it is good.",
    remedy="Use Envoy Gateway, or clients that open a connection for each request, or try a lost POST again.",
    source="Tried with nginx 1.22; docs/explanation/weights-without-reload.md",
    check=check,
    good=together(CANARY, GATEWAY),
    bad=together(CANARY, _NGF),
)
