"""CM219: a NetworkPolicy lets in a namespace that is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from coalmine.lint.addresses import namespaces
from coalmine.lint.estate import Estate
from coalmine.lint.policies import namespace_labels
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, maps, selects


def check(estate: Estate) -> Iterator[Hit]:
    if not estate.has_namespaces():
        return
    known = namespaces(estate) | estate.opaque | {"kube-system", "default"}
    for policy in estate.kind("NetworkPolicy"):
        for side, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in maps(policy.data, "spec", side):
                for place, peer in maps(rule, peers):
                    where = peer.get("namespaceSelector")
                    if (
                        where
                        and _plain(where)
                        and not any(selects(where, namespace_labels(estate, name)) for name in known)
                    ):
                        path = ("spec", side, index, peers, place, "namespaceSelector")
                        yield policy.hit(path, "no namespace has these labels")


def _plain(selector: Mapping[str, Any]) -> bool:
    """Not by a label of one's own (`example.com/trains`): by such a one namespaces that are still to come opt in."""
    keys = [*mapping(selector, "matchLabels"), *(str(one.get("key")) for _, one in maps(selector, "matchExpressions"))]
    return any("/" not in key or key.startswith("kubernetes.io/") for key in keys)


_GOOD = """\
apiVersion: v1
kind: Namespace
metadata: {name: coalmine, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Namespace
metadata: {name: flagger-system, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: judge, namespace: coalmine}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: flagger-system}}}]
"""

RULE = Rule(
    id="CM219",
    title="NetworkPolicy for a namespace that is not there",
    severity=Severity.ERROR,
    reason="The rule lets nobody in, and nothing says so. The usual causes are a namespace by another name, and a "
    "label that namespaces do not carry.",
    remedy="Select by `kubernetes.io/metadata.name`, which Kubernetes sets itself, and make the Namespace in git.",
    source="Kubernetes, NetworkPolicy: targeting a namespace by its name",
    check=check,
    whole=True,
    good=_GOOD,
    bad=swapped(_GOOD, "kubernetes.io/metadata.name: flagger-system", "kubernetes.io/metadata.name: flagger"),
)
