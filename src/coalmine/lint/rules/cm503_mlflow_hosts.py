"""CM503: an MLflow server that refuses all who call it by its Service's name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for container in pod.containers():
            words = " ".join(container.words)
            named = "--allowed-hosts" in words or "MLFLOW_SERVER_ALLOWED_HOSTS" in container.env
            if re.search(r"\bmlflow\s+server\b", words) and not named:
                yield container.hit(("args",), "mlflow server without --allowed-hosts")


_MLFLOW = swapped(
    JUDGE,
    "          ports:",
    '          args: [mlflow, server, --workers, "1", --allowed-hosts, "mlflow.mlflow:5000"]\n          ports:',
)

RULE = Rule(
    id="CM503",
    title="MLflow without its hosts",
    severity=Severity.ERROR,
    reason="The server answers 403 to a Host header that it does not know, and by default it knows its own machine "
    "only: each call from another pod fails.",
    remedy="Give `--allowed-hosts` the names by which it is called, with ports: `mlflow.mlflow:5000`.",
    source="MLflow 3, mlflow server --allowed-hosts; tried",
    check=check,
    good=_MLFLOW,
    bad=swapped(_MLFLOW, ', --allowed-hosts, "mlflow.mlflow:5000"', ""),
)
