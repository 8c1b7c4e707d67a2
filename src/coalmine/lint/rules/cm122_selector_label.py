"""CM122: Flagger cannot tell the arms of this target apart."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.made import SELECTOR_LABELS, selector_label
from coalmine.lint.rule import Hit, Rule, Severity


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        target = estate.target(canary)
        if target is not None and selector_label(target) is None:
            yield target.hit(("spec", "selector", "matchLabels"), f"none of {', '.join(SELECTOR_LABELS)}")


_OTHER = DEPLOYMENT.replace("app: sentiment", "model: sentiment")

RULE = Rule(
    id="CM122",
    title="Selector without the label that Flagger turns",
    severity=Severity.ERROR,
    reason="Flagger makes the primary by suffixing one of these labels of the selector; without one it refuses the "
    "target.",
    remedy="Select by `app`, `name` or `app.kubernetes.io/name` (a selector cannot be changed later: a new "
    "Deployment).",
    source="Flagger 1.44, pkg/canary/deployment_controller.go, getSelectorLabel; flag -selector-labels",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(CANARY, _OTHER),
)
