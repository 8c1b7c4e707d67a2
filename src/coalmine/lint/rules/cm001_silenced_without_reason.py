"""CM001: a rule is silenced, and nobody says why."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:  # noqa: ARG001 (coalmine.lint.silence finds these)
    """Nothing: what silences is read before the rules run."""
    yield from ()


_HEAD = "metadata: {name: sentiment, namespace: sentiment}"
_STEPS = "stepWeights: [5, 10, 25, 50]"
_SILENT = """\
metadata:
  name: sentiment
  namespace: sentiment
  annotations:
    coalmine.dev/lint-ignore: CM101 because a drill of the halted canary needs it
"""
_GOOD = swapped(swapped(CANARY, _HEAD, _SILENT.rstrip()), _STEPS, "maxWeight: 50")

RULE = Rule(
    id="CM001",
    title="Silenced without a reason",
    severity=Severity.ERROR,
    reason="A finding that is switched off without a word is believed to be harmless by everyone who comes after.",
    remedy='Write `coalmine.dev/lint-ignore: "CM101 because ..."`; several entries are parted by `;` or lines.',
    source="docs/reference/lint.md",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "canary needs it", "canary needs it; and CM102"),
)
