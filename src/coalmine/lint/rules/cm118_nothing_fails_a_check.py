"""CM118: no check can fail, so a dead judge holds a canary for ever."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, maps


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        analysis = mapping(canary.data, "spec", "analysis")
        hooks = [hook for _, hook in maps(analysis, "webhooks")]
        asks = any(str(hook.get("type", "")).startswith("confirm-") for hook in hooks)
        fails = any((hook.get("type") or "rollout") == "rollout" for hook in hooks)
        if asks and not fails and not analysis.get("metrics"):
            yield canary.hit(("spec", "analysis", "metrics"), "only confirm hooks: no metric and no rollout hook")


_HOOKED = (
    CANARY
    + """\
    webhooks:
      - {name: gate, type: confirm-promotion, url: "http://gate.coalmine:8090/promote"}
"""
)
_METRICS = """\
    metrics:
      - {name: backstop, interval: 1m, templateRef: {name: backstop}, thresholdRange: {max: 20}}
"""

RULE = Rule(
    id="CM118",
    title="Nothing can fail a check",
    severity=Severity.ERROR,
    reason="A confirm hook that cannot be reached halts the canary and counts nothing: with nobody to answer, a bad "
    "release keeps its share of the traffic.",
    remedy="Add a metric that the judge answers itself: its silence is then a failed check, and `threshold` ends it.",
    source="Flagger 1.44, pkg/controller/scheduler_hooks.go: a failed confirm hook halts and returns",
    check=check,
    good=_HOOKED,
    bad=swapped(_HOOKED, _METRICS, ""),
)
