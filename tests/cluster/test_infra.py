"""What the stack `kind` makes in Kubernetes is taken by a real API server: dry-run, applied, applied again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.control import ControlPlane
from cluster.engines import module
from cluster.kubectl import Kubectl
from coalmine.infra import manifests, rehearsal

FOLDER = Path(__file__).parents[2] / "infra"
CRD = "manifests/crds/application-crd.yaml"


def cleaned(made: dict[str, Any]) -> dict[str, Any]:
    """As Pulumi's provider sends it: without what it adds for itself."""
    return {key: value for key, value in made.items() if not key.startswith("__")}


@pytest.mark.cluster
@pytest.mark.timeout(900)  # the first run builds the API server
def test_a_real_api_server_takes_all_of_it_and_changes_nothing_the_second_time(
    tmp_path: Path,
) -> None:
    """Namespaces first, as the program orders them; all else is refused by nothing, and no field is unknown."""
    objects = [cleaned(one) for one in manifests.objects(rehearsal.of(FOLDER, "kind"))]
    spaces = [one for one in objects if one["kind"] == "Namespace"]
    argocd = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}}  # of infra/argocd
    with ControlPlane(tmp_path) as plane:
        kubectl = Kubectl(plane.kubeconfig)
        kubectl.apply(module("argocd") / CRD)
        kubectl.wait("crd/applications.argoproj.io", "Established")
        kubectl.apply([*spaces, argocd])
        kubectl.apply(objects, "--dry-run=server", "--validate=strict")
        kubectl.apply(objects, "--validate=strict")
        quota = kubectl.get("resourcequota", "bounds", "--namespace=sentiment")
        assert quota["spec"]["hard"]["requests.nvidia.com/gpu"] == "0"
        kubectl.apply(objects)
        assert (
            kubectl.get("resourcequota", "bounds", "--namespace=sentiment")["metadata"]["resourceVersion"]
            == (quota["metadata"]["resourceVersion"])
        )
        root = kubectl.get("applications.argoproj.io", "root", "--namespace=argocd")
        assert root["spec"]["source"]["path"] == "gitops/clusters/kind"
