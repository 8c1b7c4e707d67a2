"""CM705: a folder of manifests that Python takes for a package."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity

_TAKEN = ("flagger", "gitops", "pipelines", "nginx", "infra", "bentos", "kfp", "airflow", "argo")


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.named("__init__.py"):
        parts = file.path.split("/")
        if len(parts) == 2 and parts[0] in _TAKEN:
            yield file.hit(1, f"`import {parts[0]}` means this folder wherever the repository's root is on the path")


RULE = Rule(
    id="CM705",
    title="Folder that hides a package",
    severity=Severity.ERROR,
    reason="Packages of these names exist: with an `__init__.py` here the folder is imported in their place.",
    remedy="Take the `__init__.py` out.",
    source="docs/explanation/architecture.md",
    check=check,
    good="# file: pipelines/dags/retrain.py\nDAG = 1\n",
    bad="# file: pipelines/__init__.py\nDAG = 1\n",
)
