"""CM804: an Application comes in a wave before what it needs."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_WAVE = "argocd.argoproj.io/sync-wave"


def check(estate: Estate) -> Iterator[Hit]:
    namespaces = {obj.name: obj for obj in estate.kind("Namespace") if obj.app}
    kinds = {obj.text("spec", "names", "kind"): obj for obj in estate.kind("CustomResourceDefinition") if obj.app}
    told: set[tuple[str, str]] = set()
    for obj in estate.objects:
        for needed in (namespaces.get(obj.namespace), kinds.get(obj.kind)):
            if needed is None or obj.app is None or needed.app is None or needed.app is obj.app:
                continue
            key = (obj.app.name, needed.title)
            if wave(obj.app) < wave(needed.app) and key not in told:
                told.add(key)
                what = (
                    f"wave {wave(obj.app)}, and {needed.title} comes with {needed.app.name} in wave {wave(needed.app)}"
                )
                yield Hit(what, obj=obj.app, path=("metadata", "annotations", _WAVE))


def wave(app: Obj) -> int:
    text = str(app.annotations.get(_WAVE, "0"))
    return int(text) if text.lstrip("-").isdigit() else 0


_GOOD = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: namespaces, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "-1"}}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: notes, namespace: argocd, annotations: {argocd.argoproj.io/sync-wave: "0"}}
---
apiVersion: v1
kind: Namespace
metadata:
  name: sentiment
  labels: {pod-security.kubernetes.io/enforce: restricted}
  annotations: {argocd.argoproj.io/tracking-id: "namespaces:/Namespace:/sentiment"}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: note
  namespace: sentiment
  annotations: {argocd.argoproj.io/tracking-id: "notes:/ConfigMap:sentiment/note"}
"""

RULE = Rule(
    id="CM804",
    title="Wave before what it needs",
    severity=Severity.ERROR,
    reason="From nothing the first wave fails on a namespace or a kind that a later wave brings, and the later wave "
    "waits for the first: a bootstrap that never ends.",
    remedy="Give what is needed an earlier wave.",
    source="Argo CD, sync phases and waves",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, 'sync-wave: "-1"', 'sync-wave: "1"'),
)
