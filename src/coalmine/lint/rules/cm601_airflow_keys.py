"""CM601: Airflow's chart makes new keys at each sync."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import Path, at, mapping, maps

_KEYS = {
    "jwt": ("jwtSecretName", "jwtSecret"),
    "API": ("apiSecretKeySecretName", "apiSecretKey", "webserverSecretKeySecretName", "webserverSecretKey"),
    "fernet": ("fernetKeySecretName", "fernetKey"),
}


def check(estate: Estate) -> Iterator[Hit]:
    for app in estate.kind("Application"):
        sources: list[tuple[Path, Mapping[str, Any]]] = [(("spec", "source"), mapping(app.data, "spec", "source"))]
        sources += [(("spec", "sources", index), one) for index, one in maps(app.data, "spec", "sources")]
        for path, source in sources:
            if source.get("chart") == "airflow":
                values = mapping(source, "helm", "valuesObject") or _loaded(at(source, "helm", "values"))
                for what, names in _KEYS.items():
                    if not any(values.get(name) for name in names):
                        yield app.hit((*path, "helm"), f"no {names[0]}: the chart makes a {what} key by chance")


def _loaded(text: Any) -> Mapping[str, Any]:
    try:
        return mapping(yaml.safe_load(text) if isinstance(text, str) else {})
    except yaml.YAMLError:
        return {}


_GOOD = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: airflow, namespace: argocd}
spec:
  project: platform
  source:
    repoURL: https://airflow.apache.org
    chart: airflow
    targetRevision: 1.22.0
    helm:
      valuesObject:
        jwtSecretName: airflow-keys
        apiSecretKeySecretName: airflow-keys
        fernetKeySecretName: airflow-keys
  destination: {server: https://kubernetes.default.svc, namespace: airflow}
"""

RULE = Rule(
    id="CM601",
    title="Airflow's keys by chance",
    severity=Severity.ERROR,
    reason="The chart draws a new jwt secret at each rendering unless it is given one: Argo CD sees a drift for "
    "ever, and each sync logs everybody out and fails running tasks.",
    remedy="Make a Secret once, outside of git, and name it: jwtSecretName, apiSecretKeySecretName, "
    "fernetKeySecretName.",
    source="Airflow's Helm chart, values.yaml and production guide",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "        jwtSecretName: airflow-keys\n", ""),
)
