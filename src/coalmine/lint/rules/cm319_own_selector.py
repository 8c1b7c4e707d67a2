"""CM319: a workload does not select its own pods."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import selects


def check(estate: Estate) -> Iterator[Hit]:
    for obj in estate.kind("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"):
        for pod in estate.pods_of(obj):
            if not selects(obj.at("spec", "selector"), pod.labels):
                yield obj.hit(("spec", "selector"), "does not select its template's labels")


RULE = Rule(
    id="CM319",
    title="Workload that does not select its pods",
    severity=Severity.ERROR,
    reason="The API server refuses it, at apply and not before.",
    remedy="Let the template's labels hold all of the selector's.",
    source="Kubernetes, Deployment: selector",
    check=check,
    good=JUDGE,
    bad=swapped(JUDGE, "metadata: {labels: {app: judge}}", "metadata: {labels: {part: judge}}"),
)
