"""CM204: a Service selects no pod."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, SERVICE, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping


def check(estate: Estate) -> Iterator[Hit]:
    for service in estate.kind("Service"):
        workloads = any(pod.namespace == service.namespace for pod in estate.pods)
        if service.at("spec", "selector") and workloads and not estate.behind(service):
            selector = ", ".join(f"{key}={value}" for key, value in mapping(service.data, "spec", "selector").items())
            yield service.hit(("spec", "selector"), f"no pod of {service.namespace} has {selector}")


RULE = Rule(
    id="CM204",
    title="Service that selects nothing",
    severity=Severity.ERROR,
    reason="The Service has no endpoints: each call is refused, and nothing says why.",
    remedy="Let `spec.selector` be labels of the pod template. Behind a Canary the pods with traffic carry "
    "`<value>-primary`.",
    source="Kubernetes, Service",
    check=check,
    good=together(SERVICE, JUDGE),
    bad=together(swapped(SERVICE, "selector: {app: judge}", "selector: {app: judges}"), JUDGE),
)
