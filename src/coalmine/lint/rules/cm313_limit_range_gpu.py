"""CM313: a LimitRange that puts a GPU on every pod."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, maps


def check(estate: Estate) -> Iterator[Hit]:
    for limits in estate.kind("LimitRange"):
        for index, one in maps(limits.data, "spec", "limits"):
            for name in {**mapping(one, "max"), **mapping(one, "min")}:
                defaults = {**mapping(one, "default"), **mapping(one, "defaultRequest")}
                if "/" in str(name) and one.get("type") == "Container" and name not in defaults:
                    yield limits.hit(("spec", "limits", index), f"{name} has a bound and no default")


_GOOD = """\
apiVersion: v1
kind: LimitRange
metadata: {name: limits, namespace: sentiment}
spec:
  limits:
    - type: Container
      max: {cpu: "4", memory: 8Gi, nvidia.com/gpu: "1"}
      default: {nvidia.com/gpu: "0"}
      defaultRequest: {nvidia.com/gpu: "0"}
"""

RULE = Rule(
    id="CM313",
    title="LimitRange that asks for a GPU",
    severity=Severity.ERROR,
    reason="A bound without a default becomes the default: each container that says nothing of GPUs is given the "
    "maximum, and waits for a GPU node.",
    remedy='Give `default` and `defaultRequest` of "0" beside it, or bound GPUs by a ResourceQuota.',
    source="Kubernetes, LimitRange: SetDefaults_LimitRangeItem takes the default from max",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, '      default: {nvidia.com/gpu: "0"}\n      defaultRequest: {nvidia.com/gpu: "0"}\n', ""),
)
