"""CM306: a service that takes long to start has no time for it."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for _, pod in estate.canary_pods():
        if not any(one.data.get("startupProbe") for one in pod.lasting()):
            yield pod.hit(("spec", "containers"), "no container has a startupProbe")


RULE = Rule(
    id="CM306",
    title="No startupProbe",
    severity=Severity.ERROR,
    reason="A service that imports scikit-learn takes ten seconds to start on an idle machine and a minute on a busy"
    " one: a livenessProbe kills it before, for ever.",
    remedy="Give the service a startupProbe with room: periodSeconds 2, failureThreshold 60.",
    source="BentoML 1.4: `bentoml serve` starts twice, 4 s each, with scikit-learn",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(
        CANARY,
        swapped(
            DEPLOYMENT,
            "          startupProbe: {tcpSocket: {port: https}, periodSeconds: 2, failureThreshold: 60}\n",
            "",
        ),
    ),
)
