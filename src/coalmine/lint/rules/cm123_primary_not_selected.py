"""CM123: what selects a Canary's target by its label misses the primary, which has the traffic."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.objects import Obj, Pod
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import Path, mapping, selects

_SELECTORS: dict[str, Path] = {
    "PodDisruptionBudget": ("spec", "selector"),
    "NetworkPolicy": ("spec", "podSelector"),
    "PodMonitor": ("spec", "selector"),
    "VerticalPodAutoscaler": ("spec", "selector"),
}


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        target = estate.target(canary)
        primary = estate.find(target.kind, target.namespace, f"{target.name}-primary") if target else None
        pods = [*estate.pods_of(target), *estate.pods_of(primary)]
        if len(pods) < 2:
            continue
        for obj in estate.kind(*_SELECTORS):
            if obj.namespace != canary.namespace:
                continue
            selected = [selects(mapping(obj.data, *_SELECTORS[obj.kind]), pod.labels) for pod in pods]
            if selected[0] and not selected[1] and not _twin(estate, obj, pods[1]):
                yield obj.hit(_SELECTORS[obj.kind], f"selects the canary of {canary.name} and not its primary")


def _twin(estate: Estate, obj: Obj, pod: Pod) -> bool:
    """Another of its kind for the primary."""
    others = (other for other in estate.kind(obj.kind) if other is not obj and other.namespace == obj.namespace)
    return any(selects(mapping(other.data, *_SELECTORS[obj.kind]), pod.labels) for other in others)


_BUDGET = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: sentiment, namespace: sentiment}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app: sentiment-primary}}
"""

RULE = Rule(
    id="CM123",
    title="Selector that misses the primary",
    severity=Severity.ERROR,
    reason="Flagger's primary carries the label's value with `-primary`; the target itself is scaled to 0 between two "
    "rollouts. A budget or policy by the plain label guards no pod that has traffic.",
    remedy="Select the primary's value, or both (`matchExpressions` with `In`), or another label of the template.",
    source="Flagger 1.44, pkg/canary/deployment_controller.go, makePrimaryLabels",
    check=check,
    good=together(CANARY, DEPLOYMENT, _BUDGET),
    bad=together(CANARY, DEPLOYMENT, swapped(_BUDGET, "app: sentiment-primary", "app: sentiment")),
)
