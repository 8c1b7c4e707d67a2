"""CM807: two Applications hold the same object."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    seen: dict[tuple[str, str, str, str], Obj] = {}
    for obj in estate.objects:
        key = (obj.group, obj.kind, obj.namespace, obj.name)
        first = seen.setdefault(key, obj)
        if first is not obj and obj.name and first.source == obj.source:
            yield obj.hit(("metadata", "name"), f"{obj.title} is there twice")
        elif first is not obj and obj.name and first.app is not obj.app:
            mine, theirs = obj.app.name if obj.app else obj.source, first.app.name if first.app else first.source
            yield obj.hit(("metadata", "name"), f"{obj.title} is in {theirs} and in {mine}")


_GOOD = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: note, namespace: sentiment}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: notes, namespace: sentiment}
"""

RULE = Rule(
    id="CM807",
    title="Object with two owners",
    severity=Severity.ERROR,
    reason="Each of two Applications sets the object as it has it: Argo CD warns of a shared resource, and both stay"
    " out of sync by turns.",
    remedy="Keep it in one of them.",
    source="Argo CD, SharedResourceWarning",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "name: notes", "name: note"),
)
