"""CM314: a quota demands of pods what they do not say."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, together
from coalmine.lint.objects import CONTAINERS, Container
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, maps

_PARTS = {
    "requests.cpu": ("requests", "cpu"),
    "requests.memory": ("requests", "memory"),
    "cpu": ("requests", "cpu"),
    "memory": ("requests", "memory"),
    "limits.cpu": ("limits", "cpu"),
    "limits.memory": ("limits", "memory"),
}


def check(estate: Estate) -> Iterator[Hit]:
    for quota in estate.kind("ResourceQuota"):
        wanted = [(name, _PARTS[name]) for name in mapping(quota.data, "spec", "hard") if name in _PARTS]
        for pod in estate.pods:
            for container in pod.containers(*CONTAINERS) if pod.namespace == quota.namespace else ():
                for name, (part, resource) in wanted:
                    if not _says(estate, container, part, resource):
                        yield container.hit(
                            ("resources", part), f"{quota.title} demands {name}, {container.name} has none"
                        )


def _says(estate: Estate, container: Container, part: str, resource: str) -> bool:
    own = mapping(container.data, "resources")
    if resource in mapping(own, part) or resource in mapping(own, "limits"):
        return resource in mapping(own, part) or part == "requests"
    ranges = (one for one in estate.kind("LimitRange") if one.namespace == container.pod.namespace)
    limits = [
        one for limit in ranges for _, one in maps(limit.data, "spec", "limits") if one.get("type") == "Container"
    ]
    default = ("default", "max") if part == "limits" else ("defaultRequest", "default", "max")
    return any(resource in mapping(one, key) for one in limits for key in default)


_QUOTA = """\
apiVersion: v1
kind: ResourceQuota
metadata: {name: quota, namespace: coalmine}
spec: {hard: {requests.cpu: "4"}}
"""
_SAYS = swapped(JUDGE, "          ports:", "          resources: {requests: {cpu: 100m}}\n          ports:")

RULE = Rule(
    id="CM314",
    title="Quota that refuses a pod",
    severity=Severity.ERROR,
    reason="In a namespace with such a quota each container must say the amount: the pods of one that does not are "
    "refused, which only an event says.",
    remedy="Give the container `resources`, or the namespace a LimitRange with defaults.",
    source="Kubernetes, ResourceQuota",
    check=check,
    good=together(_QUOTA, _SAYS),
    bad=together(_QUOTA, JUDGE),
)
