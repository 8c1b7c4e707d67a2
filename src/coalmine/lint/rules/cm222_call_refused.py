"""CM222: a NetworkPolicy keeps a pod from a Service that its own configuration names."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.addresses import Address, asked, in_cluster
from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, SERVICE, together
from coalmine.lint.objects import Obj, Pod
from coalmine.lint.policies import refused
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps


def check(estate: Estate) -> Iterator[Hit]:
    if not any(True for _ in estate.kind("NetworkPolicy")):
        return
    for pod, address, cause in _calls(estate):
        service = estate.find("Service", address.namespace, address.service)
        for target in estate.behind(service) if service else ():
            port = _pod_port(service, address.port, target) if service else None
            verdict = refused(estate, pod, target, port) if port is not None else None
            if verdict is not None:
                policy, side = verdict
                yield policy.hit(("spec", side), f"{pod.owner.title} calls {address} ({cause}), port {port} of the pod")
                break


def _calls(estate: Estate) -> Iterator[tuple[Pod, Address, str]]:
    """From pods by their arguments and variables; from Flagger by Canaries and MetricTemplates."""
    for pod in estate.pods:
        yield from ((pod, address, "its configuration") for address in asked(estate, pod))
    for pod in (
        pod
        for pod in estate.pods
        if any("/flagger:" in one.image or "/flagger@" in one.image for one in pod.containers())
    ):
        for template in estate.kind("MetricTemplate"):
            address = in_cluster(estate, template.text("spec", "provider", "address"), template.namespace)
            if address:
                yield pod, address, template.title
        for canary in estate.kind("Canary"):
            for _, hook in maps(canary.data, "spec", "analysis", "webhooks"):
                address = in_cluster(estate, str(hook.get("url", "")), canary.namespace)
                if address:
                    yield pod, address, f"{canary.title}, webhook {hook.get('name')}"


def _pod_port(service: Obj, port: int, pod: Pod) -> int | None:
    for _, one in maps(service.data, "spec", "ports"):
        if one.get("port") == port:
            target = one.get("targetPort") or port
            return target if isinstance(target, int) else pod.ports().get(str(target))
    return None


_CALLER = swapped(
    swapped(JUDGE, "name: judge,", "name: closer,"),
    "          ports: [{name: http, containerPort: 8090}]",
    '          args: [closer, --judge, "http://judge.coalmine:8090"]',
).replace("app: judge", "app: closer")
_POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: judge, namespace: coalmine}
spec:
  podSelector: {matchLabels: {app: judge}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: closer}}}]
      ports: [{port: http}]
"""

RULE = Rule(
    id="CM222",
    title="Call that a NetworkPolicy refuses",
    severity=Severity.ERROR,
    reason="One file names a Service, another keeps the caller from it: it shows only where the network enforces "
    "policies, as a time-out.",
    remedy="Let the policy name the caller's pods and the pod's port, on both sides.",
    source="Kubernetes, NetworkPolicy; evaluated over the pod templates here",
    check=check,
    good=together(_CALLER, JUDGE, SERVICE, _POLICY),
    bad=together(_CALLER, JUDGE, SERVICE, swapped(_POLICY, "app: closer", "app: flagger")),
)
