"""CM210: a route sends to a Service or a port that is not there, or into a namespace that does not let it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from coalmine.lint.estate import Estate
from coalmine.lint.examples import GATEWAY, JUDGE, SERVICE, together
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps


def check(estate: Estate) -> Iterator[Hit]:
    for route in estate.kind("HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"):
        for rule, data in maps(route.data, "spec", "rules"):
            for index, backend in maps(data, "backendRefs"):
                problem = _problem(estate, route, backend) if backend.get("kind", "Service") == "Service" else ""
                if problem:
                    yield route.hit(("spec", "rules", rule, "backendRefs", index), problem)


def _problem(estate: Estate, route: Obj, backend: Mapping[str, Any]) -> str:
    namespace, name = str(backend.get("namespace") or route.namespace), str(backend.get("name"))
    service = estate.find("Service", namespace, name)
    if service is None:
        return f"there is no Service {namespace}/{name}" if estate.knows("Service", namespace) else ""
    ports = [port.get("port") for _, port in maps(service.data, "spec", "ports")]
    if backend.get("port") not in ports:
        return f"{service.title} has port {', '.join(map(str, ports))}, not {backend.get('port')}"
    granted = namespace == route.namespace or any(
        _grants(one, route) for one in estate.kind("ReferenceGrant") if one.namespace == namespace
    )
    return "" if granted else f"no ReferenceGrant in {namespace} lets routes of {route.namespace} in"


def _grants(grant: Obj, route: Obj) -> bool:
    return any(
        one.get("namespace") == route.namespace and one.get("kind") == route.kind
        for _, one in maps(grant.data, "spec", "from")
    )


_ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: judge, namespace: coalmine}
spec:
  parentRefs: [{name: coalmine}]
  hostnames: [judge.example.com]
  rules: [{backendRefs: [{name: judge, port: 8090}]}]
"""

RULE = Rule(
    id="CM210",
    title="Route to no Service",
    severity=Severity.ERROR,
    reason="The gateway answers 500 for a backend that cannot be resolved, or that lies in another namespace without"
    " its leave.",
    remedy="Mend name or port, or add a ReferenceGrant to the Service's namespace.",
    source="Gateway API, HTTPBackendRef and ReferenceGrant",
    check=check,
    good=together(_ROUTE, GATEWAY, SERVICE, JUDGE),
    bad=together(swapped(_ROUTE, "port: 8090", "port: 80"), GATEWAY, SERVICE, JUDGE),
)
