"""CM316: a budget under which no node can be drained."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import integer, mapping


def check(estate: Estate) -> Iterator[Hit]:
    for budget in estate.kind("PodDisruptionBudget"):
        most, least = budget.at("spec", "maxUnavailable"), budget.at("spec", "minAvailable")
        if most in (0, "0", "0%"):
            yield budget.hit(("spec", "maxUnavailable"), "nothing may ever be unavailable")
        if least == "100%":
            yield budget.hit(("spec", "minAvailable"), "nothing may ever be unavailable")
        for pod in estate.selected(budget.namespace, mapping(budget.data, "spec", "selector")):
            replicas = pod.owner.at("spec", "replicas")
            count = integer(replicas, 1)
            if isinstance(least, int) and pod.owner.maker is None and count <= least:
                yield budget.hit(("spec", "minAvailable"), f"{least}, and {pod.owner.title} has {count}")


_BUDGET = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: judge, namespace: coalmine}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app: judge}}
"""

RULE = Rule(
    id="CM316",
    title="Budget that blocks a drain",
    severity=Severity.WARNING,
    reason="An eviction that a budget forbids is tried again for ever: the upgrade of a node stands still.",
    remedy="Write `maxUnavailable: 1`, or run one pod more than `minAvailable`.",
    source="Kubernetes, disruption budgets",
    check=check,
    good=together(_BUDGET, JUDGE),
    bad=together(swapped(_BUDGET, "maxUnavailable: 1", "minAvailable: 1"), JUDGE),
)
