"""CM207: a route's Gateway is not there, or takes none of its namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, GATEWAY, together
from coalmine.lint.gateways import gateway_of, listeners, references
from coalmine.lint.objects import Obj
from coalmine.lint.policies import namespace_labels
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, selects


def check(estate: Estate) -> Iterator[Hit]:
    for obj in estate.kind("Canary", "HTTPRoute", "GRPCRoute", "TLSRoute"):
        for path, reference in references(obj):
            namespace, name, gateway = gateway_of(estate, obj, reference)
            if gateway is None:
                if estate.knows("Gateway", namespace):
                    yield obj.hit(path, f"there is no Gateway {namespace}/{name}")
            elif not any(_admits(estate, gateway, one, obj) for one in listeners(gateway, reference)):
                yield obj.hit(path, f"no listener of {gateway.title} takes routes of namespace {obj.namespace}")


def _admits(estate: Estate, gateway: Obj, listener: Mapping[str, Any], obj: Obj) -> bool:
    allowed = mapping(listener, "allowedRoutes", "namespaces")
    if allowed.get("from", "Same") == "Selector":
        return selects(allowed.get("selector"), namespace_labels(estate, obj.namespace))
    return allowed.get("from", "Same") == "All" or obj.namespace == gateway.namespace


RULE = Rule(
    id="CM207",
    title="Gateway that takes no such route",
    severity=Severity.ERROR,
    reason="By default a listener takes routes of its own namespace only. A route that no Gateway accepts gets no "
    "request, and Flagger waits for it to be accepted.",
    remedy="Mend the reference, or give the listener `allowedRoutes: {namespaces: {from: All}}` or a selector.",
    source="Gateway API, Listener.allowedRoutes; Flagger 1.44, pkg/router/gateway_api.go, GetRoutes",
    check=check,
    good=together(CANARY, GATEWAY),
    bad=together(CANARY, swapped(GATEWAY, "      allowedRoutes: {namespaces: {from: All}}\n", "")),
)
