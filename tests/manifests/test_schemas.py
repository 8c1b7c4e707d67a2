"""Every object of every cluster is what the schema of its kind asks for, also of those that no bench can run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from manifests.rendered import CLUSTERS, build, of_cluster, where
from manifests.schemas import faults

pytestmark = [pytest.mark.timeout(600)]  # some definitions have a megabyte, and the first run fetches their modules

# Programs that cannot be had here: their manifests are never applied on the bench, so these are all that checks them.
NEVER_APPLIED = ("cert-manager.io/v1 Certificate", "cert-manager.io/v1 ClusterIssuer")


@pytest.mark.parametrize("name", CLUSTERS)
def test_each_object_of_a_cluster_is_valid(root: Path, name: str) -> None:
    """Kubernetes' kinds by its OpenAPI; Argo CD's, Flagger's, the Gateway API's, Envoy Gateway's by their CRDs."""
    found = [(where(one), faults(one)) for one in of_cluster(root, name)]
    assert [(one, wrong) for one, wrong in found if wrong] == []


def test_what_a_newcomer_applies_is_valid(root: Path) -> None:
    """Argo CD's own manifest as we patch it, and the root; all clusters have the same but for an address."""
    objects = build(root, "gitops/clusters/production/bootstrap")
    found = [(where(one), faults(one)) for one in objects if one["kind"] != "CustomResourceDefinition"]
    assert [(one, wrong) for one, wrong in found if wrong] == []


def test_cert_managers_objects_are_checked_by_its_own_definitions(root: Path) -> None:
    """Both kinds are in production, one of each authority, and each field of theirs is one that cert-manager has."""
    found = [one for one in of_cluster(root, "production") if one["apiVersion"].startswith("cert-manager.io/")]
    assert {f"{one['apiVersion']} {one['kind']}" for one in found} == set(NEVER_APPLIED)
    names = {one["metadata"]["name"] for one in found}
    assert names == {"coalmine", "diabetes", "inside", "itself", "outside", "sentiment"}
    assert [(where(one), faults(one)) for one in found if faults(one)] == []


@pytest.mark.parametrize(
    ("api", "kind", "spec", "says"),
    [
        (
            "cert-manager.io/v1",
            "Certificate",
            {"secretName": "x", "issuerRef": {"name": "y"}, "dnsName": ["z"]},
            "dnsName",
        ),
        ("cert-manager.io/v1", "Certificate", {"dnsNames": ["z"]}, "secretName"),
        ("networking.k8s.io/v1", "NetworkPolicy", {"podSelector": {}, "ingres": []}, "ingres"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute", {"rules": [{"matches": [{"path": {"type": "Glob"}}]}]}, "Glob"),
        ("flagger.app/v1beta1", "Canary", {"analysis": {"interval": 1}}, "interval"),
    ],
)
def test_a_fault_is_noticed(api: str, kind: str, spec: dict[str, Any], says: str) -> None:
    """The checks above can fail: an unknown field, a missing one, a wrong value."""
    found = faults({"apiVersion": api, "kind": kind, "metadata": {"name": "x"}, "spec": spec})
    assert any(says in one for one in found), found
