"""CM806: an Application's project does not let it make what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from coalmine.lint.estate import Estate
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, maps


def check(estate: Estate) -> Iterator[Hit]:
    told: set[tuple[str, str]] = set()
    for obj in estate.objects:
        project = estate.find("AppProject", obj.app.namespace, obj.app.text("spec", "project")) if obj.app else None
        if project is None or obj.app is None:
            continue
        key = (project.name, f"{obj.group}/{obj.kind} in {obj.namespace or 'the cluster'}")
        if key not in told and not _allowed(project, obj):
            told.add(key)
            yield project.hit(("spec",), f"Application {obj.app.name} holds {obj.title}, which this project refuses")


def _allowed(project: Obj, obj: Obj) -> bool:
    spec = mapping(project.data, "spec")
    if not obj.namespace:
        return _listed(spec, "clusterResourceWhitelist", obj)
    place = any(_fits(one.get("namespace"), obj.namespace) for _, one in maps(spec, "destinations"))
    listed = "namespaceResourceWhitelist" not in spec or _listed(spec, "namespaceResourceWhitelist", obj)
    return place and listed and not _listed(spec, "namespaceResourceBlacklist", obj)


def _listed(spec: Mapping[str, Any], field: str, obj: Obj) -> bool:
    return any(_fits(one.get("group"), obj.group) and _fits(one.get("kind"), obj.kind) for _, one in maps(spec, field))


def _fits(pattern: Any, text: str) -> bool:
    words = (re.escape(part) for part in str(pattern or "").split("*"))
    return re.fullmatch(".*".join(words), text) is not None


_GOOD = """\
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: sentiment, namespace: argocd}
spec:
  sourceRepos: ["*"]
  destinations: [{server: https://kubernetes.default.svc, namespace: sentiment}]
  namespaceResourceWhitelist: [{group: "", kind: ConfigMap}]
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: sentiment, namespace: argocd}
spec: {project: sentiment}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: note
  namespace: sentiment
  annotations: {argocd.argoproj.io/tracking-id: "sentiment:/ConfigMap:sentiment/note"}
"""

RULE = Rule(
    id="CM806",
    title="Project that refuses its Application",
    severity=Severity.ERROR,
    reason="The sync fails with `resource ... is not permitted in project`, and nothing of the Application is applied.",
    remedy="Add the kind or the namespace to the AppProject, or keep the object elsewhere.",
    source="Argo CD, projects",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "kind: ConfigMap}]", "kind: Service}]"),
)
