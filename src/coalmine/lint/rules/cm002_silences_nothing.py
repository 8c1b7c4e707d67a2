"""CM002: a rule is silenced where it finds nothing."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:  # noqa: ARG001 (coalmine.lint.silence finds these)
    """Nothing: what silences is read before the rules run."""
    yield from ()


_HEAD = "metadata: {name: sentiment, namespace: sentiment}"
_SILENT = """\
metadata:
  name: sentiment
  namespace: sentiment
  annotations:
    coalmine.dev/lint-ignore: CM101 because there were no steps once
"""

RULE = Rule(
    id="CM002",
    title="Silences nothing",
    severity=Severity.WARNING,
    reason="The trap is gone and its silencing stayed: when the trap comes back, nobody will be told.",
    remedy="Take the entry out.",
    source="docs/reference/lint.md",
    check=check,
    good=CANARY,
    bad=swapped(CANARY, _HEAD, _SILENT.rstrip()),
)
