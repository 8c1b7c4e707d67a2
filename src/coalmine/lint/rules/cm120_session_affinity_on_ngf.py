"""CM120: what NGINX Gateway Fabric rejects or passes over."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, GATEWAY, together
from coalmine.lint.gateways import class_of, parents
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        if not any("nginx.org" in class_of(estate, gateway) for gateway in parents(estate, canary)):
            continue
        if canary.at("spec", "analysis", "sessionAffinity"):
            yield canary.hit(("spec", "analysis", "sessionAffinity"), "its filters of a backendRef are rejected")
        for field in ("timeout", "backendTimeout"):
            if canary.at("spec", "service", field):
                yield canary.hit(("spec", "service", field), "timeouts of a rule are passed over")


_NGF = swapped(GATEWAY, "gateway.envoyproxy.io/gatewayclass-controller", "gateway.nginx.org/nginx-gateway-controller")
_GOOD = together(
    swapped(
        CANARY,
        "metadata: {name: sentiment, namespace: sentiment}",
        """\
metadata:
  name: sentiment
  namespace: sentiment
  annotations:
    coalmine.dev/lint-ignore: CM209 because its clients open a connection for each request""",
    ),
    _NGF,
)

RULE = Rule(
    id="CM120",
    title="Session affinity and timeouts on NGINX Gateway Fabric",
    severity=Severity.ERROR,
    reason="Flagger's session affinity adds filters to backendRefs, which NGINX Gateway Fabric rejects: the route is"
    " not accepted and no weight is ever set. A rule's timeouts are passed over there.",
    remedy="Take them out, or use Envoy Gateway.",
    source="NGINX Gateway Fabric, Gateway API compatibility: HTTPRoute backendRefs.filters and timeouts",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "    threshold: 30", "    threshold: 30\n    sessionAffinity: {cookieName: arm}"),
)
