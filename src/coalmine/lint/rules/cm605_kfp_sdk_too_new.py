"""CM605: a pipeline compiled by a newer SDK than its backend knows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.packages import number_of
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_SDK = re.compile(r"^sdkVersion:\s*kfp-(\d+(?:\.\d+)*)", re.MULTILINE)
_BACKEND = re.compile(r"kfp-api-server:(\d+(?:\.\d+)*)")


def check(estate: Estate) -> Iterator[Hit]:
    found = [match[1] for pod in estate.pods for one in pod.containers() for match in _BACKEND.finditer(one.image)]
    found += [match[1] for file in estate.named(".yaml", ".yml") for match in _BACKEND.finditer(file.text)]
    if not found:
        return
    backend = min(found, key=number_of)
    for file in estate.named(".yaml", ".yml"):
        for number, line in file.lines():
            match = _SDK.match(line)
            if match and number_of(match[1])[:2] > number_of(backend)[:2]:
                yield file.hit(number, f"compiled by kfp {match[1]}, and the backend is {backend}")


_GOOD = """\
# file: pipelines/kubeflow/retrain.yaml
schemaVersion: 2.1.0
sdkVersion: kfp-2.15.0
# file: gitops/platform/kubeflow/deployment.yaml
image: ghcr.io/kubeflow/kfp-api-server:2.15.0
"""

RULE = Rule(
    id="CM605",
    title="KFP's SDK newer than its backend",
    severity=Severity.ERROR,
    reason="The backend refuses, or quietly passes over, what a newer SDK writes.",
    remedy="Compile with an SDK of the backend's version or below.",
    source="Kubeflow Pipelines, version compatibility",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "kfp-2.15.0", "kfp-2.16.0"),
)
