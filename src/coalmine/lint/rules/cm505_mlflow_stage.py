"""CM505: a model by its stage."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity
from coalmine.lint.tree import strings

_STAGE = re.compile(r"models:/[^/\s\"'@]+/(?:Production|Staging|Archived|None)\b|\btransition_model_version_stage\b")


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for path, text in strings(pod.spec):
            match = _STAGE.search(text)
            if match:
                yield pod.hit(("spec", *path), match[0])
    for file in estate.named(".py"):
        for number, line in file.lines():
            match = _STAGE.search(line)
            if match:
                yield file.hit(number, match[0])


_GOOD = """\
# file: bentos/sentiment/training.py
champion = client.get_model_version_by_alias("sentiment", "champion")
"""

RULE = Rule(
    id="CM505",
    title="Model by its stage",
    severity=Severity.ERROR,
    reason="Stages are gone from MLflow 3: nothing is found under them.",
    remedy="Use aliases and tags.",
    source="MLflow 3, model registry: stages are removed",
    check=check,
    good=_GOOD,
    bad='# file: bentos/sentiment/training.py\nchampion = load_model("models:/sentiment/Production")\n',
)
