"""CM312: a namespace where any pod may do anything."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_LABEL = "pod-security.kubernetes.io/enforce"


def check(estate: Estate) -> Iterator[Hit]:
    for namespace in estate.kind("Namespace"):
        level = namespace.labels.get(_LABEL)
        if level not in ("restricted", "baseline"):
            yield namespace.hit(("metadata", "labels", _LABEL), f"{level or 'nothing'} is enforced")


_GOOD = """\
apiVersion: v1
kind: Namespace
metadata: {name: sentiment, labels: {pod-security.kubernetes.io/enforce: restricted}}
"""

RULE = Rule(
    id="CM312",
    title="Namespace without Pod Security",
    severity=Severity.WARNING,
    reason="Without the label a pod in it may run as root, mount the node's disk and take the node.",
    remedy="Label it `pod-security.kubernetes.io/enforce: restricted` (`baseline` where a program cannot).",
    source="Kubernetes, Pod Security Admission",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, ", labels: {pod-security.kubernetes.io/enforce: restricted}", ""),
)
