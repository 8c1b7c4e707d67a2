"""CM803: an object in a namespace that nobody makes."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import items

_THERE = {"", "default", "kube-system", "kube-public", "kube-node-lease"}


def check(estate: Estate) -> Iterator[Hit]:
    if not estate.has_namespaces():
        return
    made = {obj.name for obj in estate.kind("Namespace")} | _THERE
    made |= {app.text("spec", "destination", "namespace") for app in _making(estate)}
    told: set[str] = set()
    for obj in estate.objects:
        if obj.namespace not in made | told:
            told.add(obj.namespace)
            yield obj.hit(("metadata", "namespace"), f"nobody makes namespace {obj.namespace}")


def _making(estate: Estate) -> Iterator[Obj]:
    """The Applications that make the namespace that they go to."""
    seen = [obj.app for obj in estate.objects if obj.app] + list(estate.kind("Application"))
    yield from (app for app in seen if "CreateNamespace=true" in items(app.data, "spec", "syncPolicy", "syncOptions"))


_GOOD = """\
apiVersion: v1
kind: Namespace
metadata: {name: sentiment, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: note, namespace: sentiment}
"""

RULE = Rule(
    id="CM803",
    title="Namespace that nobody makes",
    severity=Severity.ERROR,
    reason="It works in the cluster where somebody made the namespace by hand; only from nothing does it fail.",
    remedy="Add the Namespace, in an earlier wave.",
    source="A retrospective of first deploys: NetworkPolicies applied before their namespaces exist",
    check=check,
    whole=True,
    good=_GOOD,
    bad=swapped(_GOOD, "metadata: {name: note, namespace: sentiment}", "metadata: {name: note, namespace: sentiments}"),
)
