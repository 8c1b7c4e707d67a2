"""CM307: traffic before the service answers."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for _, pod in estate.canary_pods():
        if not any(one.data.get("readinessProbe") for one in pod.lasting()):
            yield pod.hit(("spec", "containers"), "no container has a readinessProbe")


RULE = Rule(
    id="CM307",
    title="No readinessProbe",
    severity=Severity.ERROR,
    reason="Without one a pod is ready when its process runs: Flagger sends traffic to a model that is still "
    "loading, and a release that can never serve is not noticed as such.",
    remedy="Probe BentoML's /readyz, on the port and the address where it listens.",
    source="Kubernetes, readiness probes; BentoML 1.4: /livez, /readyz",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(CANARY, swapped(DEPLOYMENT, "          readinessProbe: {tcpSocket: {port: https}}\n", "")),
)
