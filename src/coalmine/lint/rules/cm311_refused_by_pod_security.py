"""CM311: a pod that its namespace's Pod Security refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, together
from coalmine.lint.objects import CONTAINERS, Pod
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import items, mapping, maps


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        namespace = estate.find("Namespace", "", pod.namespace)
        if namespace is not None and namespace.labels.get("pod-security.kubernetes.io/enforce") == "restricted":
            yield from _of_pod(pod)


def _of_pod(pod: Pod) -> Iterator[Hit]:
    whole = mapping(pod.spec, "securityContext")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(field):
            yield pod.hit(("spec", field), f"{field} is not allowed")
    for index, volume in maps(pod.spec, "volumes"):
        if "hostPath" in volume:
            yield pod.hit(("spec", "volumes", index), "a hostPath is not allowed")
    for container in pod.containers(*CONTAINERS):
        own = mapping(container.data, "securityContext")
        for what in _lacks({**whole, **own}, own):
            yield container.hit(("securityContext",), f"{container.name}: {what}")


def _lacks(both: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot must be true"
    if both.get("runAsUser") == 0:
        yield "runAsUser must not be 0"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation must be false"
    if "ALL" not in items(own, "capabilities", "drop"):
        yield "capabilities must drop ALL"
    if set(items(own, "capabilities", "add")) - {"NET_BIND_SERVICE"}:
        yield "capabilities may add NET_BIND_SERVICE only"
    if mapping(both, "seccompProfile").get("type") not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile must be RuntimeDefault"


_NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata: {name: coalmine, labels: {pod-security.kubernetes.io/enforce: restricted}}
"""
_SAFE = swapped(
    swapped(
        JUDGE,
        "      containers:",
        "      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}\n      containers:",
    ),
    "          ports:",
    "          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}\n          ports:",
)

RULE = Rule(
    id="CM311",
    title="Pod that its namespace refuses",
    severity=Severity.ERROR,
    reason="The Deployment is accepted and its pods are not: Argo CD says Progressing for ever, and the cause stands"
    " in an event of the ReplicaSet.",
    remedy="Set what `restricted` demands, on the pod and on each container.",
    source="Kubernetes, Pod Security Standards: restricted",
    check=check,
    good=together(_NAMESPACE, _SAFE),
    bad=together(_NAMESPACE, swapped(_SAFE, ", capabilities: {drop: [ALL]}", "")),
)
