"""CM105: the HTTPRoute that Flagger owns is kept in git as well."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, together
from coalmine.lint.made import service_names
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        apex = service_names(canary)[0]
        for route in estate.kind("HTTPRoute"):
            if (route.namespace, route.name) == (canary.namespace, apex):
                yield route.hit(("metadata", "name"), f"Flagger owns this HTTPRoute, for Canary {canary.name}")


RULE = Rule(
    id="CM105",
    title="Flagger's HTTPRoute in git",
    severity=Severity.ERROR,
    reason="Flagger writes the whole HTTPRoute of the Canary's name; Argo CD would set its weights back at every sync.",
    remedy="Take it out of git. Hosts, matches and gateways belong to the Canary's `spec.service`; other rules, such"
    " as the one for feedback, to an HTTPRoute of another name.",
    source="Flagger 1.44, pkg/router/gateway_api.go, Reconcile",
    check=check,
    good=together(
        CANARY,
        _ROUTE := """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: sentiment-feedback, namespace: sentiment}
spec:
  parentRefs: [{name: coalmine, namespace: coalmine}]
  rules: [{matches: [{path: {type: Exact, value: /feedback}}]}]
""",
    ),
    bad=together(CANARY, swapped(_ROUTE, "sentiment-feedback", "sentiment")),
)
