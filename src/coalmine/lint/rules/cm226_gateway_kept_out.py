"""CM226: a NetworkPolicy keeps the gateway from the model's pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.gateways import references
from coalmine.lint.objects import Obj, Pod
from coalmine.lint.policies import namespace_labels, selecting
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, maps, selects

_PROXIES = ("envoy-gateway-system", "nginx-gateway")  # where the controllers put a Gateway's proxies


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        target = estate.target(canary)
        service = mapping(canary.data, "spec", "service")
        wanted = service.get("targetPort") or service.get("port")
        namespaces = [*_PROXIES, *(str(ref.get("namespace") or canary.namespace) for _, ref in references(canary))]
        for arm in (target, estate.find("Deployment", canary.namespace, f"{target.name}-primary") if target else None):
            for pod in estate.pods_of(arm):
                policies = selecting(estate, pod, "Ingress")
                if policies and not any(_lets_in(estate, one, namespaces, pod=pod, wanted=wanted) for one in policies):
                    what = f"lets no gateway to port {wanted} of {arm.name if arm else ''}"
                    yield policies[0].hit(("spec", "ingress"), what)


def _lets_in(estate: Estate, policy: Obj, namespaces: list[str], *, pod: Pod, wanted: Any) -> bool:
    for _, rule in maps(policy.data, "spec", "ingress"):
        peers = [peer for _, peer in maps(rule, "from")]
        where = [mapping(peer, "namespaceSelector") for peer in peers if "namespaceSelector" in peer]
        near = any(selects(one, namespace_labels(estate, name)) for one in where for name in namespaces)
        ports = [port.get("port") for _, port in maps(rule, "ports")]
        number = pod.ports().get(wanted, wanted) if isinstance(wanted, str) else wanted
        here = not ports or any(
            one is None or number == (pod.ports().get(one) if isinstance(one, str) else one) for one in ports
        )
        if here and (not peers or near or any("ipBlock" in peer for peer in peers)):
            return True
    return False


_POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: models, namespace: sentiment}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: envoy-gateway-system}}}]
      ports: [{port: 8443}]
"""

RULE = Rule(
    id="CM226",
    title="Gateway kept from the model",
    severity=Severity.ERROR,
    reason="The gateway's proxies run in its controller's namespace, not beside the Gateway object: a policy that "
    "does not let them in to the pod's port makes each request a 503, in a cluster that enforces policies.",
    remedy="Let the controller's namespace in, to the container's port: Envoy Gateway's is envoy-gateway-system.",
    source="Envoy Gateway 1.9, infrastructure in the controller's namespace; Kubernetes, NetworkPolicy",
    check=check,
    good=together(CANARY, DEPLOYMENT, _POLICY),
    bad=together(
        CANARY, DEPLOYMENT, swapped(_POLICY, "metadata.name: envoy-gateway-system", "metadata.name: monitoring")
    ),
)
