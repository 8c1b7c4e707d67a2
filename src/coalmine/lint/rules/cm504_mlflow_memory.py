"""CM504: an MLflow server with more workers than memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, quantity

_NEEDS = 1.6 * 2**30  # bytes, resident, with the default of four workers and job execution


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for container in pod.containers():
            words = " ".join(container.words)
            one = re.search(r"(?:--workers|-w)[ =]1\b", words)
            limit = quantity(mapping(container.data, "resources", "limits").get("memory"))
            if re.search(r"\bmlflow\s+server\b", words) and not one and limit is not None and limit < _NEEDS:
                yield container.hit(("resources", "limits", "memory"), f"{limit / 2**20:.0f} MiB for four workers")


_MLFLOW = swapped(
    JUDGE,
    "          ports:",
    """\
          args: [mlflow, server, --workers, "1", --allowed-hosts, "mlflow.mlflow:5000"]
          resources: {limits: {memory: 1Gi}}
          ports:""",
)

RULE = Rule(
    id="CM504",
    title="MLflow with too little memory",
    severity=Severity.ERROR,
    reason="The server takes 1.6 GB as it comes, 523 MB with one worker and without job execution: below that it is "
    "killed for its memory, at the first real use.",
    remedy='Write `--workers 1` and MLFLOW_SERVER_ENABLE_JOB_EXECUTION: "false", or a limit of 2Gi.',
    source="MLflow 3, measured",
    check=check,
    good=_MLFLOW,
    bad=swapped(_MLFLOW, '--workers, "1", ', ""),
)
