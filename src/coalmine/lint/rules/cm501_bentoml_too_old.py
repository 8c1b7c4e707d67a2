"""CM501: a BentoML whose histograms are wrong."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.packages import wanted
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_LEAST = (1, 4, 39)


def check(estate: Estate) -> Iterator[Hit]:
    for one in wanted(estate, "bentoml"):
        if one.least is None or one.least < _LEAST:
            yield one.file.hit(one.line, f"{one.text!r} lets in versions below 1.4.39")


_GOOD = """\
# file: bentos/sentiment/requirements.txt
bentoml>=1.4.39
"""

RULE = Rule(
    id="CM501",
    title="BentoML below 1.4.39",
    severity=Severity.ERROR,
    reason="Before it, histograms over several workers were wrong: latency is judged by numbers that nobody "
    "measured. And without bounds a resolver falls back by years.",
    remedy="Write `bentoml>=1.4.39`.",
    source="BentoML 1.4.39's changes to its metrics; tried",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "bentoml>=1.4.39", "bentoml>=1.2"),
)
