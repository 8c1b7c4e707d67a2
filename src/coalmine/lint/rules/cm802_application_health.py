"""CM802: waves of Applications that wait for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import together
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_KEY = "resource.customizations.health.argoproj.io_Application"
_WAVE = "argocd.argoproj.io/sync-wave"


def check(estate: Estate) -> Iterator[Hit]:
    waves = {str(app.annotations.get(_WAVE)) for app in estate.kind("Application") if _WAVE in app.annotations}
    for obj in estate.kind("ConfigMap"):
        told = obj.at("data", _KEY) or "argoproj.io/Application" in obj.text("data", "resource.customizations")
        if obj.name == "argocd-cm" and len(waves) > 1 and not told:
            yield obj.hit(("data", _KEY), f"Applications in {len(waves)} waves, and none of them has a health")


_CM = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd}
data:
  resource.customizations.health.argoproj.io_Application: return obj.status.health
  resource.customizations.health.flagger.app_Canary: return obj.status.lastAppliedSpec == obj.status.lastPromotedSpec
"""
_APPS = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: namespaces, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "-2"}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: judge, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "0"}}
"""

RULE = Rule(
    id="CM802",
    title="Waves that wait for nothing",
    severity=Severity.ERROR,
    reason="Since 1.8 Argo CD gives an Application no health of its own: the waves of an app of apps follow one "
    "another at once, and the judge is applied before its namespace and kinds are there.",
    remedy=f"Ship `{_KEY}` in argocd-cm.",
    source="Argo CD, docs/operator-manual/health.md: Argo CD App",
    check=check,
    good=together(_CM, _APPS),
    bad=together(
        swapped(_CM, "  resource.customizations.health.argoproj.io_Application: return obj.status.health\n", ""), _APPS
    ),
)
