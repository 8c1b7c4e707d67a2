"""CM208: a route's hosts are none of its Gateway's."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, GATEWAY, together
from coalmine.lint.gateways import gateway_of, listeners, references
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import Path, items


def check(estate: Estate) -> Iterator[Hit]:
    for obj in estate.kind("Canary", "HTTPRoute", "GRPCRoute"):
        field: Path = ("spec", "service", "hosts") if obj.kind == "Canary" else ("spec", "hostnames")
        for _, reference in references(obj):
            gateway = gateway_of(estate, obj, reference)[2]
            served = [str(one.get("hostname") or "*") for one in listeners(gateway, reference)] if gateway else ["*"]
            for index, host in enumerate(items(obj.data, *field)):
                if not any(_covers(name, str(host)) for name in served):
                    yield obj.hit((*field, index), f"{host} is none of {', '.join(served) or 'no listener'}")


def _covers(served: str, host: str) -> bool:
    """One of them may be `*.` and a suffix."""
    if "*" in (served, host) or served == host:
        return True
    return (served.startswith("*.") and host.endswith(served[1:])) or (
        host.startswith("*.") and served.endswith(host[1:])
    )


_HOSTED = swapped(CANARY, "    trafficDistribution", "    hosts: [sentiment.example.com]\n    trafficDistribution")

RULE = Rule(
    id="CM208",
    title="Host that the Gateway does not serve",
    severity=Severity.ERROR,
    reason="A route without a hostname in common with a listener is not accepted: clients get 404 from the gateway.",
    remedy="Let `hosts` be covered by the listener's `hostname`.",
    source="Gateway API, HTTPRouteSpec.hostnames",
    check=check,
    good=together(_HOSTED, GATEWAY),
    bad=together(swapped(_HOSTED, "sentiment.example.com", "sentiment.example.org"), GATEWAY),
)
