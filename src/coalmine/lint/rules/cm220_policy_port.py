"""CM220: a NetworkPolicy opens a port that its pods do not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, together
from coalmine.lint.objects import Pod
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, maps


def check(estate: Estate) -> Iterator[Hit]:
    for policy in estate.kind("NetworkPolicy"):
        pods = estate.selected(policy.namespace, mapping(policy.data, "spec", "podSelector"))
        for index, rule in maps(policy.data, "spec", "ingress"):
            for place, port in maps(rule, "ports"):
                wanted = port.get("port")
                if pods and wanted is not None and not any(_has(pod, wanted, port.get("endPort")) for pod in pods):
                    path = ("spec", "ingress", index, "ports", place)
                    yield policy.hit(
                        path, f"none of {', '.join(sorted({pod.owner.title for pod in pods}))} has port {wanted}"
                    )


def _has(pod: Pod, port: Any, last: Any) -> bool:
    if isinstance(port, int) and isinstance(last, int):
        return not pod.ports() or any(port <= number <= last for number in pod.ports().values())
    return pod.listens(port)


_POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: judge, namespace: coalmine}
spec:
  podSelector: {matchLabels: {app: judge}}
  policyTypes: [Ingress]
  ingress: [{ports: [{port: http}]}]
"""

RULE = Rule(
    id="CM220",
    title="NetworkPolicy for a port that is not there",
    severity=Severity.ERROR,
    reason="Policies see the pod's port, not the Service's: what is meant to be let in stays out.",
    remedy="Write the container port's name or number.",
    source="Kubernetes, NetworkPolicyPort",
    check=check,
    good=together(_POLICY, JUDGE),
    bad=together(swapped(_POLICY, "port: http", "port: 80"), JUDGE),
)
