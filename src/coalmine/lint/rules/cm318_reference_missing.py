"""CM318: a pod needs a ConfigMap, ServiceAccount or volume claim that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, together
from coalmine.lint.objects import CONTAINERS, Pod
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import Path, at, mapping, maps


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for kind, name, path in _needs(pod):
            absent = name and estate.find(kind, pod.namespace, name) is None
            if absent and estate.knows(kind, pod.namespace) and name not in ("default", "kube-root-ca.crt"):
                yield pod.hit(path, f"there is no {kind} {pod.namespace}/{name}")


def _needs(pod: Pod) -> Iterator[tuple[str, str, Path]]:
    yield "ServiceAccount", pod.account, ("spec", "serviceAccountName")
    for index, volume in maps(pod.spec, "volumes"):
        if not at(volume, "configMap", "optional"):
            yield "ConfigMap", str(at(volume, "configMap", "name") or ""), ("spec", "volumes", index)
        claim = at(volume, "persistentVolumeClaim", "claimName")
        yield "PersistentVolumeClaim", str(claim or ""), ("spec", "volumes", index)
    for container in pod.containers(*CONTAINERS):
        inner = container.path[len(pod.path) :]
        for index, one in maps(container.data, "envFrom"):
            if not at(one, "configMapRef", "optional"):
                yield "ConfigMap", str(at(one, "configMapRef", "name") or ""), (*inner, "envFrom", index)
        for index, one in maps(container.data, "env"):
            key = mapping(one, "valueFrom", "configMapKeyRef")
            if not key.get("optional"):
                yield "ConfigMap", str(key.get("name") or ""), (*inner, "env", index)


_POLICY = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: policies, namespace: coalmine}
data: {note: "one for each Canary"}
"""
_MOUNTS = swapped(
    JUDGE, "      containers:", "      volumes: [{name: policies, configMap: {name: policies}}]\n      containers:"
)

RULE = Rule(
    id="CM318",
    title="Something that a pod needs is not there",
    severity=Severity.ERROR,
    reason="The pod stays in ContainerCreating, and the rollout ends by its deadline.",
    remedy="Make it, or mend the name. What kustomize generates has a suffix unless `disableNameSuffixHash` is set.",
    source="Kubernetes, configure a pod to use a ConfigMap",
    check=check,
    good=together(_POLICY, _MOUNTS),
    bad=together(_POLICY, swapped(_MOUNTS, "configMap: {name: policies}", "configMap: {name: judge-policies}")),
)
