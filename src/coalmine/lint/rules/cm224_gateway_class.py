"""CM224: a Gateway of a class that nobody drives."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import GATEWAY
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    classes = {obj.name for obj in estate.kind("GatewayClass")}
    for gateway in estate.kind("Gateway"):
        name = gateway.text("spec", "gatewayClassName")
        if classes and name not in classes:
            yield gateway.hit(("spec", "gatewayClassName"), f"{name} is none of {', '.join(sorted(classes))}")


RULE = Rule(
    id="CM224",
    title="Gateway class that is not there",
    severity=Severity.ERROR,
    reason="No controller looks at the Gateway: it gets no address and no status.",
    remedy="Name a GatewayClass of the cluster.",
    source="Gateway API, GatewaySpec.gatewayClassName",
    check=check,
    good=GATEWAY,
    bad=swapped(GATEWAY, "gatewayClassName: envoy", "gatewayClassName: envoy-gateway"),
)
