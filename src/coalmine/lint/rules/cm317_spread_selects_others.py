"""CM317: a pod is spread away from pods that are not its own."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps, selects


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for index, one in maps(pod.spec, "topologySpreadConstraints"):
            if not selects(one.get("labelSelector") or {"matchExpressions": [{"operator": "none"}]}, pod.labels):
                yield pod.hit(
                    ("spec", "topologySpreadConstraints", index, "labelSelector"), "does not select the pod itself"
                )


_SPREAD = swapped(
    JUDGE,
    "      containers:",
    """\
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: topology.kubernetes.io/zone
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: {matchLabels: {app: judge}}
      containers:""",
)

RULE = Rule(
    id="CM317",
    title="Spread over the wrong pods",
    severity=Severity.ERROR,
    reason="The constraint counts pods that match its selector. If the pod itself is not among them, all may land in"
    " one zone, and its loss is the loss of the service.",
    remedy="Let `labelSelector` be labels of the template; Flagger turns the value for the primary.",
    source="Kubernetes, topology spread constraints; Flagger 1.44, appendPrimarySuffixToValuesIfNeeded",
    check=check,
    good=_SPREAD,
    bad=swapped(_SPREAD, "labelSelector: {matchLabels: {app: judge}}", "labelSelector: {matchLabels: {app: judges}}"),
)
