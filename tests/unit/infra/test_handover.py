"""What GitOps is told reaches what it is meant for: the patches are laid over the real tree by kustomize itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.engines import binary
from coalmine.infra import handover
from coalmine.infra.handover import Values
from coalmine.lint import kustomize

ROOT = Path(__file__).parents[3]
GIT = "https://forge.test/team/models.git"


def values(**more: Any) -> Values:
    return Values(
        git=GIT, branch="live", domain="ml.test", contact="ops@ml.test", models=("sentiment", "routes"), **more
    )


def built(folder: str, patches: list[dict[str, object]], tmp_path: Path) -> list[dict[str, Any]]:
    """A folder of the tree with patches over it, as Argo CD would build it."""
    (tmp_path / "over").mkdir()
    (tmp_path / "tree").symlink_to(ROOT / "gitops")
    made: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    made |= {"resources": [f"../tree/{folder}"], "patches": patches}
    (tmp_path / "over" / "kustomization.yaml").write_text(yaml.safe_dump(made))
    program = kustomize.find(str(binary("kustomize")))
    text = program.build(tmp_path / "over", folder)
    return [one for one in yaml.safe_load_all(text) if one]


def test_the_tree_is_read_from_where_the_stack_says(tmp_path: Path) -> None:
    """No Application and no ApplicationSet names the example's repository any more."""
    found = built("clusters/production", handover.patches(values()), tmp_path)
    assert found
    assert "git.example.com" not in json.dumps(found)
    own = [one for one in found if one["metadata"].get("labels", {}).get("coalmine.dev/source") == "own"]
    assert {one["spec"]["source"]["repoURL"] for one in own if one["kind"] == "Application"} == {GIT}
    assert {one["spec"]["source"]["targetRevision"] for one in own if one["kind"] == "Application"} == {"live"}


def inner(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    made: dict[str, Any] = next(one for one in found if one["metadata"]["name"] == name)
    source = made["spec"]["source"] if made["kind"] == "Application" else made["spec"]["template"]["spec"]["source"]
    return dict(source["kustomize"])


def test_a_domain_reaches_certificates_and_issuer(tmp_path: Path) -> None:
    """By the inner Application's own patches, over its own folder."""
    dns = {"cloudDNS": {"project": "example-ml"}}
    outer = built("clusters/production", handover.patches(values(dns=dns)), tmp_path)
    (tmp_path / "second").mkdir()
    found = built("clusters/production/certificates", inner(outer, "certificates")["patches"], tmp_path / "second")
    by = {(one["kind"], one["metadata"]["name"]): one["spec"] for one in found}
    assert by["Certificate", "coalmine"]["dnsNames"] == ["*.ml.test"]
    issuer = by["ClusterIssuer", "outside"]["acme"]
    assert issuer["email"] == "ops@ml.test"
    assert issuer["solvers"] == [{"dns01": dns}]


def test_a_model_is_served_under_its_own_name_of_the_domain(tmp_path: Path) -> None:
    """The ApplicationSet's template fills in the model; here as it would for `sentiment`."""
    outer = built("clusters/production", handover.patches(values()), tmp_path)
    patches = json.loads(
        json.dumps(inner(outer, "models")["patches"]).replace("{{index .path.segments 2}}", "sentiment")
    )
    (tmp_path / "second").mkdir()
    found = built("apps/sentiment/overlays/kind", patches, tmp_path / "second")
    by = {one["kind"]: one["spec"] for one in found if one["kind"] in {"Canary", "HTTPRoute"}}
    assert by["Canary"]["service"]["hosts"] == by["HTTPRoute"]["hostnames"] == ["sentiment.ml.test"]


def test_stores_and_identities_reach_mlflow(tmp_path: Path) -> None:
    """PostgreSQL and buckets instead of a volume, and who the pod is in the cloud."""
    noted = {"mlflow": {"iam.gke.io/gcp-service-account": "mlflow@example-ml.iam.gserviceaccount.com"}}
    outer = built("clusters/production", handover.patches(values(databases=True, annotations=noted)), tmp_path)
    told = inner(outer, "mlflow")
    assert told["components"] == ["../../../platform/mlflow/postgres"]
    assert (ROOT / "gitops/clusters/production/mlflow" / told["components"][0] / "kustomization.yaml").is_file()
    (tmp_path / "second").mkdir()
    found = built("clusters/production/mlflow", told["patches"], tmp_path / "second")
    account = next(one for one in found if one["kind"] == "ServiceAccount")
    assert account["metadata"]["annotations"] == noted["mlflow"]


@pytest.mark.parametrize("cluster", ["production", "kind", "bench"])
def test_every_clusters_folder_can_be_told(cluster: str, tmp_path: Path) -> None:
    """What is not there is left alone."""
    assert built(f"clusters/{cluster}", handover.patches(values(databases=True)), tmp_path)
