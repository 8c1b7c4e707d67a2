"""CM801: Argo CD calls a rolled-back release degraded for ever."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_KEY = "resource.customizations.health.flagger.app_Canary"


def check(estate: Estate) -> Iterator[Hit]:
    for obj in estate.kind("ConfigMap"):
        if obj.name == "argocd-cm":
            text = f"{obj.text('data', _KEY)} {obj.text('data', 'resource.customizations')}"
            judged = "lastAppliedSpec" in text and "lastPromotedSpec" in text
            if not judged:
                what = "compares no lastAppliedSpec" if obj.at("data", _KEY) else "no health of a Canary"
                yield obj.hit(("data", _KEY), what)


_GOOD = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd}
data:
  resource.customizations.health.flagger.app_Canary: |
    local settled = obj.status.lastAppliedSpec == obj.status.lastPromotedSpec
    return {status = (obj.status.phase ~= "Failed" or settled) and "Healthy" or "Degraded"}
"""

RULE = Rule(
    id="CM801",
    title="Health of a Canary in Argo CD",
    severity=Severity.ERROR,
    reason="Argo CD's own check makes Degraded of the phase Failed, and the phase stays Failed after git was "
    "reverted: a healed application stays red, and waves behind it wait.",
    remedy="Ship a health check in argocd-cm: Failed with lastAppliedSpec == lastPromotedSpec is Healthy.",
    source="Argo CD 3.5, resource_customizations/flagger.app/Canary/health.lua; Flagger 1.44, CanaryStatus",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "obj.status.lastAppliedSpec == obj.status.lastPromotedSpec", "false"),
)
