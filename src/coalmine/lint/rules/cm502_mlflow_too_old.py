"""CM502: an MLflow before what the registry's use needs."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.packages import wanted
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_LEAST = (3, 15)


def check(estate: Estate) -> Iterator[Hit]:
    for one in wanted(estate, "mlflow"):
        if one.least is None or one.least < _LEAST:
            yield one.file.hit(one.line, f"{one.text!r} lets in versions below 3.15")


_GOOD = """\
# file: bentos/sentiment/requirements.txt
mlflow>=3.15
"""

RULE = Rule(
    id="CM502",
    title="MLflow below 3.15",
    severity=Severity.ERROR,
    reason="Older ones have stages instead of aliases, and known holes in the server; without bounds a resolver "
    "falls back by years.",
    remedy="Write `mlflow>=3.15`.",
    source="MLflow 3; tried",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "mlflow>=3.15", "mlflow>=2.9,<4"),
)
