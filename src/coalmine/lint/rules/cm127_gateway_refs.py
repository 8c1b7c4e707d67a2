"""CM127: a Canary for the Gateway API that names no Gateway."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        if canary.text("spec", "provider").startswith("gatewayapi") and not canary.at("spec", "service", "gatewayRefs"):
            yield canary.hit(("spec", "service", "gatewayRefs"), "no gatewayRefs")


RULE = Rule(
    id="CM127",
    title="Canary without a Gateway",
    severity=Severity.ERROR,
    reason="Flagger makes no HTTPRoute without gatewayRefs and stays in its first phase.",
    remedy="Name the Gateway: `gatewayRefs: [{name: coalmine, namespace: coalmine}]`.",
    source="Flagger 1.44, pkg/router/gateway_api.go: GatewayRefs must be specified",
    check=check,
    good=CANARY,
    bad=swapped(CANARY, "    gatewayRefs: [{name: coalmine, namespace: coalmine}]\n", ""),
)
