"""CM124: Envoy Gateway counts both arms of this Canary together."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, GATEWAY, together
from coalmine.lint.gateways import class_of, parents
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_FIELD = ("spec", "service", "trafficDistribution")


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        envoy = any("envoyproxy" in class_of(estate, gateway) for gateway in parents(estate, canary))
        parted = canary.at(*_FIELD) or canary.at("spec", "analysis", "sessionAffinity") or _zone_aware(estate, canary)
        if envoy and not parted:
            yield canary.hit(_FIELD, "no trafficDistribution, and the Gateway is Envoy Gateway's")


def _zone_aware(estate: Estate, canary: Obj) -> bool:
    policies = (one for one in estate.kind("BackendTrafficPolicy") if one.namespace == canary.namespace)
    return any(one.at("spec", "loadBalancer", "zoneAware", "preferLocal") is not None for one in policies)


RULE = Rule(
    id="CM124",
    title="Both arms in one Envoy cluster",
    severity=Severity.ERROR,
    reason="Envoy Gateway puts the two backends of a rule into one Envoy cluster unless they need separate ones: its "
    "counters cannot tell the arms apart, the judge has no data, and a fault of the canary is counted to both.",
    remedy="In the Canary: `service.trafficDistribution: PreferClose`; then each backend is a cluster of its own.",
    source="Envoy Gateway 1.9, internal/ir NeedsClusterPerSetting; src/coalmine/judge/profiles.yaml, envoy-gateway",
    check=check,
    good=together(CANARY, GATEWAY),
    bad=together(swapped(CANARY, "    trafficDistribution: PreferClose\n", ""), GATEWAY),
)
