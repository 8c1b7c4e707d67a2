"""CM213: the gateway tries again, and the canary's failure is not seen."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, together
from coalmine.lint.made import service_names
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import integer, mapping, maps


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        if integer(canary.at("spec", "service", "retries", "attempts"), 0) > 0:
            yield canary.hit(("spec", "service", "retries"), "a failed request is tried again")
    routed = {(obj.namespace, service_names(obj)[0]) for obj in estate.kind("Canary")}
    for policy in estate.kind("BackendTrafficPolicy"):
        if policy.at("spec", "retry") is not None and _touches(policy, routed):
            yield policy.hit(("spec", "retry"), "a failed request is tried again")


def _touches(policy: Obj, routed: set[tuple[str, str]]) -> bool:
    """A whole Gateway, or the HTTPRoute of a Canary."""
    targets = [mapping(policy.data, "spec", "targetRef"), *(ref for _, ref in maps(policy.data, "spec", "targetRefs"))]
    return any(
        (ref.get("kind") == "Gateway" and bool(routed)) or (policy.namespace, str(ref.get("name"))) in routed
        for ref in targets
    )


_POLICY = """\
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: sentiment, namespace: sentiment}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: sentiment}]
  timeout: {http: {requestTimeout: 60s}}
"""

RULE = Rule(
    id="CM213",
    title="Retries that hide failures",
    severity=Severity.ERROR,
    reason="A request that fails at the canary is tried again, often at the primary: the client sees a success, and so "
    "does the judge. A POST may also be answered twice.",
    remedy="Take the retry out; clients that may try again do so themselves.",
    source="docs/explanation/security.md; src/coalmine/judge/profiles.yaml",
    check=check,
    good=together(CANARY, _POLICY),
    bad=together(CANARY, swapped(_POLICY, "  timeout:", "  retry: {numRetries: 2}\n  timeout:")),
)
