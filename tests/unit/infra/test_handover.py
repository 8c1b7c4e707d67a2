"""What GitOps is told reaches what it is meant for: the patches are laid over the real tree by kustomize itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml

from cluster.control import free_port
from coalmine.infra import handover
from coalmine.infra.handover import Values
from manifests import rendered
from manifests.schemas import faults
from unit.judge.postgres import server

ROOT = Path(__file__).parents[3]
GIT = "https://forge.test/team/models.git"


def values(**more: Any) -> Values:
    return Values(
        git=GIT, branch="live", domain="ml.test", contact="ops@ml.test", models=("sentiment", "routes"), **more
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, with a release in each environment."""
    return rendered.tree(tmp_path_factory.mktemp("tree"))


def built(root: Path, folder: str, patches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A folder of the tree with patches over it, as Argo CD would build it."""
    over = Path(tempfile.mkdtemp(dir=root))
    made: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    made |= {"resources": [f"../gitops/{folder}"], "patches": patches}
    (over / "kustomization.yaml").write_text(yaml.safe_dump(made))
    return list(rendered.build(root, over.name))


def test_the_tree_is_read_from_where_the_stack_says(root: Path) -> None:
    """No Application and no ApplicationSet names the example's repository any more."""
    found = built(root, "clusters/production", handover.patches(values()))
    assert found
    assert "git.example.com" not in json.dumps(found)
    own = [one for one in found if one["metadata"].get("labels", {}).get("coalmine.dev/source") == "own"]
    assert {one["spec"]["source"]["repoURL"] for one in own if one["kind"] == "Application"} == {GIT}
    assert {one["spec"]["source"]["targetRevision"] for one in own if one["kind"] == "Application"} == {"live"}


def inner(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    made: dict[str, Any] = next(one for one in found if one["metadata"]["name"] == name)
    source = made["spec"]["source"] if made["kind"] == "Application" else made["spec"]["template"]["spec"]["source"]
    return dict(source["kustomize"])


def test_a_domain_reaches_certificates_and_issuer(root: Path) -> None:
    """By the inner Application's own patches, over its own folder."""
    dns = {"cloudDNS": {"project": "example-ml"}}
    outer = built(root, "clusters/production", handover.patches(values(dns=dns)))
    found = built(root, "clusters/production/certificates", inner(outer, "certificates")["patches"])
    by = {(one["kind"], one["metadata"]["name"]): one["spec"] for one in found}
    assert by["Certificate", "coalmine"]["dnsNames"] == ["*.ml.test"]
    issuer = by["ClusterIssuer", "outside"]["acme"]
    assert issuer["email"] == "ops@ml.test"
    assert issuer["solvers"] == [{"dns01": dns}]


def test_a_model_is_served_under_its_own_name_of_the_domain(root: Path) -> None:
    """The ApplicationSet's template fills in the model; here as it would for `sentiment`."""
    outer = built(root, "clusters/production", handover.patches(values()))
    patches = json.loads(
        json.dumps(inner(outer, "models")["patches"]).replace("{{index .path.segments 2}}", "sentiment")
    )
    found = built(root, "apps/sentiment/overlays/kind", patches)
    by = {one["kind"]: one["spec"] for one in found if one["kind"] in {"Canary", "HTTPRoute"}}
    assert by["Canary"]["service"]["hosts"] == by["HTTPRoute"]["hostnames"] == ["sentiment.ml.test"]


def test_stores_and_identities_reach_mlflow(root: Path) -> None:
    """PostgreSQL and buckets instead of a volume, and who the pod is in the cloud."""
    noted = {"mlflow": {"iam.gke.io/gcp-service-account": "mlflow@example-ml.iam.gserviceaccount.com"}}
    outer = built(root, "clusters/production", handover.patches(values(databases=True, annotations=noted)))
    told = inner(outer, "mlflow")
    assert told["components"] == ["../../../platform/mlflow/postgres"]
    assert (ROOT / "gitops/clusters/production/mlflow" / told["components"][0] / "kustomization.yaml").is_file()
    found = built(root, "clusters/production/mlflow", told["patches"])
    account = next(one for one in found if one["kind"] == "ServiceAccount")
    assert account["metadata"]["annotations"] == noted["mlflow"]


def told_judge(root: Path) -> list[dict[str, Any]]:
    """The judge as production has it beside databases: its own folder, with what the root hands to it."""
    told = inner(built(root, "clusters/production", handover.patches(values(databases=True))), "judge")
    made = [f"../gitops/clusters/production/judge/{one}" for one in told["components"]]
    over = Path(tempfile.mkdtemp(dir=root))
    kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    kustomization |= {"resources": ["../gitops/clusters/production/judge"], "components": made}  # type: ignore[dict-item]
    (over / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return list(rendered.build(root, over.name))


def test_the_judge_reads_its_database_from_the_secret_that_infrastructure_makes(root: Path) -> None:
    """By the environment, not by an argument that whoever lists processes sees; each object is valid."""
    found = told_judge(root)
    pod = next(one for one in found if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    judge = next(one for one in pod["containers"] if one["name"] == "judge")
    assert not [one for one in judge["args"] if one.startswith("--database")]
    wanted = {"secretKeyRef": {"name": "judge-database", "key": "url"}}
    assert judge["env"] == [{"name": "COALMINE_JUDGE_DATABASE", "valueFrom": wanted}]
    assert "--database=/data/feedback.db" in next(one for one in pod["containers"] if one["name"] == "feedback")["args"]
    assert [(one["kind"], wrong) for one in found if (wrong := faults(one))] == []


@pytest.mark.slow
def test_the_judges_own_command_line_comes_up_on_a_real_postgresql(root: Path, tmp_path: Path) -> None:
    """Command and arguments of the manifest, with paths and ports of this machine; the Secret's value as it is made."""
    pod = next(one for one in told_judge(root) if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    judge = next(one for one in pod["containers"] if one["name"] == "judge")
    port = free_port()
    line = [*judge["command"], *judge["args"]]
    line = [one.replace("/data", str(tmp_path)).replace("/policies", str(tmp_path / "policies")) for one in line]
    line = [f"--port={port}" if one.startswith("--port") else one.replace("0.0.0.0", "127.0.0.1") for one in line]
    (tmp_path / "policies").mkdir()
    with server() as postgres:
        url = postgres.url("judge").replace("postgresql://", "postgresql+psycopg://")
        environment = os.environ | {judge["env"][0]["name"]: url}
        with subprocess.Popen([sys.executable, "-m", "coalmine.cli", *line[1:]], env=environment) as running:
            try:
                assert answers(f"http://127.0.0.1:{port}{judge['readinessProbe']['httpGet']['path']}", running)
            finally:
                running.terminate()
        with psycopg.connect(url.replace("+psycopg", "")) as link:
            assert link.execute("SELECT count(*) FROM analyses").fetchone() == (0,)


def answers(url: str, running: subprocess.Popen[bytes]) -> bool:
    """Once it does; False where the process has ended before."""
    while running.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False, timeout=5).status_code == 200:
                return True
        time.sleep(0.2)
    return False


@pytest.mark.parametrize("cluster", ["production", "kind", "bench"])
def test_every_clusters_folder_can_be_told(cluster: str, root: Path) -> None:
    """What is not there is left alone."""
    assert built(root, f"clusters/{cluster}", handover.patches(values(databases=True)))
