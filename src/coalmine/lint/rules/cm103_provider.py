"""CM103: a provider that Flagger does not know is taken for Istio."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        provider = canary.text("spec", "provider")
        if not provider and canary.at("spec", "service", "gatewayRefs"):
            yield canary.hit(("spec", "provider"), "no provider: Flagger's own flag decides, Istio by default")
        elif provider.startswith("gatewayapi") and provider != "gatewayapi:v1":
            yield canary.hit(("spec", "provider"), f"{provider!r} is not `gatewayapi:v1`")


RULE = Rule(
    id="CM103",
    title="Provider of a Canary",
    severity=Severity.ERROR,
    reason="The plain word `gatewayapi` falls back to Istio with a warning in the log only, and no HTTPRoute is made.",
    remedy="Write `provider: gatewayapi:v1`.",
    source="Flagger 1.44, pkg/router/factory.go: unknown mesh router provider, using istio",
    check=check,
    good=CANARY,
    bad=swapped(CANARY, "provider: gatewayapi:v1", "provider: gatewayapi"),
)
