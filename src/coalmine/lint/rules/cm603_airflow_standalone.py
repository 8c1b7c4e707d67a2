"""CM603: Airflow's all-in-one in a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for container in pod.containers():
            if re.search(r"\bairflow\s+standalone\b|^standalone$", " ".join(container.words)) and "airflow" in (
                container.image + " ".join(container.words)
            ):
                yield container.hit(("args",), "airflow standalone")


_GOOD = swapped(JUDGE, "          ports:", "          args: [airflow, scheduler]\n          ports:")

RULE = Rule(
    id="CM603",
    title="Airflow standalone in a pod",
    severity=Severity.ERROR,
    reason="It ends only by SIGINT to its process group; Kubernetes sends SIGTERM to one process: what runs is killed "
    "after the grace period, and left as running in its database.",
    remedy="Run its parts, as the chart does.",
    source="Airflow 3, airflow standalone; tried",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "[airflow, scheduler]", "[airflow, standalone]"),
)
