"""CM604: runs of which nobody can say what code they ran."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import at, mapping


def check(estate: Estate) -> Iterator[Hit]:
    for app in estate.kind("Application"):
        values = mapping(app.data, "spec", "source", "helm", "valuesObject")
        if app.text("spec", "source", "chart") == "airflow" and at(values, "dags", "gitSync", "enabled") is True:
            yield app.hit(("spec", "source", "helm", "valuesObject", "dags"), "gitSync instead of a GitDagBundle")


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
        dags: {gitSync: {enabled: false}}
  destination: {server: https://kubernetes.default.svc, namespace: airflow}
"""

RULE = Rule(
    id="CM604",
    title="DAGs by gitSync",
    severity=Severity.WARNING,
    reason="A folder that a sidecar keeps pulling has no version: a run may begin with one commit's code and end with "
    "another's. A GitDagBundle gives each run its commit.",
    remedy="Configure a GitDagBundle in `dagProcessor.dagBundleConfigList`, and turn gitSync off.",
    source="Airflow 3, DAG bundles",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "gitSync: {enabled: false}", "gitSync: {enabled: true}"),
)
