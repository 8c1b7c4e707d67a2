"""CM805: an object that a client-side apply cannot hold."""

from __future__ import annotations

import json
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import items

_LARGEST = 262_144  # bytes of all annotations, of which the last applied configuration is one


def check(estate: Estate) -> Iterator[Hit]:
    for obj in estate.objects:
        options = items(obj.app.data, "spec", "syncPolicy", "syncOptions") if obj.app else ["ServerSideApply=true"]
        own = str(obj.annotations.get("argocd.argoproj.io/sync-options", ""))
        if "ServerSideApply=true" not in [*options, *own.split(",")] or (obj.app is None and _applied(obj)):
            size = len(json.dumps(obj.data, separators=(",", ":")))
            if size > _LARGEST:
                yield obj.hit((), f"{size:,} bytes, without ServerSideApply")


def _applied(obj: Obj) -> bool:
    """Whether it says itself that it was applied by a client."""
    return "kubectl.kubernetes.io/last-applied-configuration" in obj.annotations


_GOOD = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: dashboards
  namespace: monitoring
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
data: {small: "..."}
"""

RULE = Rule(
    id="CM805",
    title="Too large for a client-side apply",
    severity=Severity.ERROR,
    reason="The whole object goes into an annotation, and annotations end at 256 KiB: metadata.annotations: Too "
    "long. The usual ones are CustomResourceDefinitions and dashboards.",
    remedy="Give the Application `syncOptions: [ServerSideApply=true]`.",
    source="Kubernetes, TotalAnnotationSizeLimitB; Argo CD, server-side apply",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, '"..."', '"' + "x" * 270_000 + '"'),
)
