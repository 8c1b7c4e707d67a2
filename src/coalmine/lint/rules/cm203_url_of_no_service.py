"""CM203: an argument or a variable of a container names a Service that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.addresses import in_cluster, unreachable, urls
from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, SERVICE, together
from coalmine.lint.objects import CONTAINERS
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for container in pod.containers(*CONTAINERS):
            for path, url in urls(container):
                problem = unreachable(estate, in_cluster(estate, url, pod.namespace))
                if problem:
                    yield container.hit(path, f"{url}: {problem}")


_CALLER = swapped(
    swapped(swapped(JUDGE, "name: judge,", "name: closer,"), "- name: judge", "- name: closer"),
    "          ports: [{name: http, containerPort: 8090}]",
    '          args: [closer, --judge, "http://judge.coalmine:8090"]',
).replace("app: judge", "app: closer")

RULE = Rule(
    id="CM203",
    title="URL of a Service that is not there",
    severity=Severity.ERROR,
    reason="The program starts, is Ready, and fails at its first call.",
    remedy="Let host and port be those of the Service (not of its pods).",
    source="Kubernetes, DNS for Services and Pods",
    check=check,
    good=together(_CALLER, SERVICE, JUDGE),
    bad=together(swapped(_CALLER, "8090", "80"), SERVICE, JUDGE),
)
