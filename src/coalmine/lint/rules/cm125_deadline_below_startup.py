"""CM125: a pod may take longer to start than Flagger waits for it."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.objects import Container
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import integer, mapping


def check(estate: Estate) -> Iterator[Hit]:
    for canary, pod in estate.canary_pods():
        deadline = integer(canary.at("spec", "progressDeadlineSeconds"), 600)
        longest = max((_startup(one) for one in pod.lasting()), default=0)
        if longest >= deadline:
            path = ("spec", "progressDeadlineSeconds")
            yield canary.hit(path, f"{deadline} s, and a startupProbe allows {longest} s")


def _startup(container: Container) -> int:
    probe = mapping(container.data, "startupProbe")
    waits = integer(probe.get("failureThreshold"), 3) * integer(probe.get("periodSeconds"), 10)
    return integer(probe.get("initialDelaySeconds"), 0) + waits if probe else 0


RULE = Rule(
    id="CM125",
    title="Deadline below the start-up time",
    severity=Severity.ERROR,
    reason="A release whose pod is still allowed to start is rolled back as one that makes no progress.",
    remedy="Let `progressDeadlineSeconds` be above the startupProbe's periodSeconds x failureThreshold, with room to"
    " pull.",
    source="Flagger 1.44, pkg/canary/deployment_ready.go",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(swapped(CANARY, "progressDeadlineSeconds: 300", "progressDeadlineSeconds: 60"), DEPLOYMENT),
)
