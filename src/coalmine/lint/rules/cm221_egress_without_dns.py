"""CM221: pods may call out to some, and cannot look up a name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, together
from coalmine.lint.policies import selecting
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps, selects


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.all_pods:
        policies = selecting(estate, pod, "Egress")
        rules = [rule for policy in policies for _, rule in maps(policy.data, "spec", "egress")]
        if rules and not any(_dns(rule) for rule in rules):
            first = next(policy for policy in policies if list(maps(policy.data, "spec", "egress")))
            yield first.hit(("spec", "egress"), f"{pod.owner.title} may call out and not look up names")


def _dns(rule: Mapping[str, Any]) -> bool:
    peers, ports = list(maps(rule, "to")), list(maps(rule, "ports"))
    there = not peers or any(_holds_dns(peer) for _, peer in peers)
    return there and (
        not ports or any(one.get("port") in (53, "dns") and one.get("protocol") == "UDP" for _, one in ports)
    )


def _holds_dns(peer: Mapping[str, Any]) -> bool:
    where = peer.get("namespaceSelector")
    return "ipBlock" in peer or (where is not None and selects(where, {"kubernetes.io/metadata.name": "kube-system"}))


_POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: judge, namespace: coalmine}
spec:
  podSelector: {matchLabels: {app: judge}}
  policyTypes: [Egress]
  egress:
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
"""

RULE = Rule(
    id="CM221",
    title="Egress without DNS",
    severity=Severity.ERROR,
    reason="Under an egress policy a pod that may not ask the cluster's DNS finds no Service at all: each call times"
    " out after seconds, which looks like a slow network.",
    remedy="Add `ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]` to the policy's egress.",
    source="Kubernetes, NetworkPolicy: egress is denied unless a rule allows it",
    check=check,
    good=together(_POLICY, JUDGE),
    bad=together(swapped(_POLICY, "    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]\n", ""), JUDGE),
)
