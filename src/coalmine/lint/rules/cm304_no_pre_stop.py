"""CM304: a pod closes its door before the gateway knows."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import at


def check(estate: Estate) -> Iterator[Hit]:
    for _, pod in estate.canary_pods():
        for container in pod.containers():  # a native sidecar ends after these
            if not at(container.data, "lifecycle", "preStop"):
                yield container.hit(("lifecycle", "preStop"), f"{container.name} has no preStop")


RULE = Rule(
    id="CM304",
    title="No preStop",
    severity=Severity.ERROR,
    reason="At SIGTERM BentoML closes its listener at once, and nginx its own, while the gateway still sends: each "
    "rollout and each drain loses requests.",
    remedy="Give each container `lifecycle: {preStop: {sleep: {seconds: 15}}}`.",
    source="BentoML 1.4; Kubernetes, pod termination: endpoints are removed beside, not before, the signal",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(CANARY, swapped(DEPLOYMENT, "          lifecycle: {preStop: {sleep: {seconds: 15}}}\n", "")),
)
