"""CM506: a pod loads whatever an alias names at that moment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import strings

_ALIAS = re.compile(r"models:/[^/\s\"'@]+(?:@[\w.-]+|/latest\b)")


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for path, text in strings(pod.spec):
            match = _ALIAS.search(text)
            if match:
                yield pod.hit(("spec", *path), f"{match[0]} is resolved when the pod starts")


_GOOD = swapped(
    JUDGE, "          ports:", '          env: [{name: MODEL, value: "models:/sentiment/7"}]\n          ports:'
)

RULE = Rule(
    id="CM506",
    title="Model by its alias, in a pod",
    severity=Severity.ERROR,
    reason="When the alias moves, the next pod that starts serves another model: without a commit, a canary or a "
    "verdict.",
    remedy="Resolve the alias when the release is made; let the image hold the model, labelled with version and "
    "digest.",
    source="docs/explanation/architecture.md; BentoML's import_model records nothing of the version",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "models:/sentiment/7", "models:/sentiment@champion"),
)
