"""What GitOps is told of the infrastructure, once: patches that the root Application lays over a cluster's folder.

The tree in git stays as it is, with its examples of addresses; nothing is copied by hand, and a change of a bucket or
a domain is a change of the stack's file alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

COMPONENTS = ("mlflow", "airflow", "judge", "cert-manager")  # who has an identity in the cloud
# Of each of them: namespace and service account, as gitops/platform and the charts name them.
ACCOUNTS = {
    "mlflow": ("mlflow", "mlflow"),
    "airflow": ("airflow", "airflow-worker"),
    "judge": ("coalmine", "judge"),
    "cert-manager": ("cert-manager", "cert-manager"),
}
_MODEL = "{{index .path.segments 2}}"  # in the ApplicationSet's own template


@dataclass(frozen=True, slots=True)
class Values:
    """All plain text: whatever is secret goes into Secrets instead. `dns` is cert-manager's solver, if any."""

    git: str
    branch: str
    domain: str
    contact: str
    models: tuple[str, ...]
    databases: bool = False
    dns: Mapping[str, object] = field(default_factory=dict)
    annotations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of service accounts, by component

    @property
    def names(self) -> list[str]:
        """What the door's certificate is for. One for all wants a proof by DNS."""
        return [f"*.{self.domain}"] if self.dns else [f"{model}.{self.domain}" for model in self.models]


Patch = dict[str, Any]


def patches(values: Values) -> list[Patch]:
    """Kustomize patches for the root Application, in Argo CD's form. One whose target is not there does nothing."""
    return [*_everywhere(values), *_models(values), *_certificates(values), *_parts(values)]


def _everywhere(values: Values) -> Iterator[Patch]:
    """Where the tree itself is read from."""
    source = [("repoURL", values.git), ("targetRevision", values.branch)]
    yield _json({"kind": "Application"}, [_replace(f"/spec/source/{key}", value) for key, value in source])
    generator = [("repoURL", values.git), ("revision", values.branch)]
    changes = [_replace(f"/spec/generators/0/git/{key}", value) for key, value in generator]
    changes += [_replace(f"/spec/template/spec/source/{key}", value) for key, value in source]
    yield _json({"kind": "ApplicationSet"}, changes)


def _models(values: Values) -> Iterator[Patch]:
    host = [f"{_MODEL}.{values.domain}"]
    inner = [
        _json({"kind": "Canary"}, [_replace("/spec/service/hosts", host)], own=False),
        _json({"kind": "HTTPRoute"}, [_replace("/spec/hostnames", host)], own=False),
    ]
    change: Patch = {"op": "add", "path": "/spec/template/spec/source/kustomize", "value": {"patches": inner}}
    yield _json({"kind": "ApplicationSet", "name": "models"}, [change])


def _certificates(values: Values) -> Iterator[Patch]:
    if not values.names:
        return
    inner = [
        _json({"kind": "Certificate", "name": "coalmine"}, [_replace("/spec/dnsNames", values.names)], own=False),
        _json({"kind": "ClusterIssuer", "name": "outside"}, _issuer(values), own=False),
    ]
    yield _inner("certificates", {"patches": inner})


def _issuer(values: Values) -> list[Patch]:
    found = [_replace("/spec/acme/email", values.contact)]
    if values.dns:
        found.append(_replace("/spec/acme/solvers", [{"dns01": dict(values.dns)}]))
    return found


def _parts(values: Values) -> Iterator[Patch]:
    settings = _json({"kind": "ConfigMap", "name": "closer-settings"}, [_replace("/data/GIT", values.git)], own=False)
    yield _inner("closer", {"patches": [settings]})
    for component in ("mlflow", "judge"):
        stores = {"components": [f"../../../platform/{component}/postgres"]} if values.databases else {}
        if more := {**stores, **_account(values, component)}:
            yield _inner(component, more)
    if values.databases:  # a Component of the cluster's own, since it must know the cluster's images
        yield _inner("backup", {"components": ["databases"]})
    if noted := values.annotations.get("cert-manager"):
        yield _helm("cert-manager", {"serviceAccount": {"annotations": dict(noted)}})
    bundle: Patch = {"name": "coalmine", "classpath": "airflow.providers.git.bundles.git.GitDagBundle"}
    bundle |= {"kwargs": {"repo_url": values.git, "tracking_ref": values.branch, "subdir": "pipelines/dags"}}
    airflow: dict[str, object] = {"dagBundleConfigList": [bundle]}
    if noted := values.annotations.get("airflow"):
        airflow["workers"] = {"serviceAccount": {"annotations": dict(noted)}}
    yield _helm("airflow", airflow)


def _account(values: Values, component: str) -> dict[str, object]:
    """A patch of the component's service account, where the cloud knows it by an annotation."""
    noted = values.annotations.get(component)
    if not noted:
        return {}
    name = ACCOUNTS[component][1]
    change: Patch = {"op": "add", "path": "/metadata/annotations", "value": dict(noted)}
    return {"patches": [_json({"kind": "ServiceAccount", "name": name}, [change], own=False)]}


def _inner(application: str, kustomize: Mapping[str, object]) -> Patch:
    """What an inner Application lays over its own folder."""
    change: Patch = {"op": "add", "path": "/spec/source/kustomize", "value": dict(kustomize)}
    return _json({"kind": "Application", "name": application}, [change])


def _helm(application: str, values: Mapping[str, object]) -> Patch:
    """Values of a chart: merged into those that git has."""
    change = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": application},
        "spec": {"source": {"helm": {"valuesObject": dict(values)}}},
    }
    target = {"kind": "Application", "name": application, "labelSelector": "coalmine.dev/source=chart"}
    return {"target": target, "patch": json.dumps(change)}


def _json(target: Mapping[str, str], changes: list[Patch], *, own: bool = True) -> Patch:
    """A patch by JSON operations. `own`: of what is rendered from this repository, not of charts."""
    selected = dict(target) | ({"labelSelector": "coalmine.dev/source=own"} if own else {})
    return {"target": selected, "patch": json.dumps(changes)}


def _replace(path: str, value: object) -> Patch:
    return {"op": "replace", "path": path, "value": value}
