"""What a stack for a cluster that is there makes is taken by a real API server, and Argo CD goes on from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.conftest import APPLICATIONS, MODEL, is_healthy
from cluster.control import ControlPlane
from cluster.engines import module
from cluster.gitserver import NAME as GIT
from cluster.kubectl import Kubectl
from cluster.node.layout import BENCH_DOMAIN
from cluster.platform import Platform
from cluster.stage import until
from coalmine.infra import config, manifests, rehearsal
from manifests.rendered import INSTALL, build

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra"
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


STACK = {
    "provider": "existing",
    "git": f"https://{GIT}/coalmine.git",
    "cluster": "bench",
    "domain": BENCH_DOMAIN,
    "contact": f"operators@{BENCH_DOMAIN}",
    "owner": "ml-platform",
    "cost_center": "none",
    "keep": False,
    "tenants": [{"name": MODEL}],
}


def made_by_the_stack(scratch: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What Pulumi would apply: the folder of Argo CD as kustomize builds it, and the program's own objects."""
    run = rehearsal.rehearse(FOLDER, config.read(STACK, name="bench", where="this test"), STACK)
    for folder in manifests.folders(run):
        at = scratch / folder.relative_to(ROOT)
        shutil.copytree(folder, at)
        shutil.copytree(ROOT / "gitops" / "platform" / "argocd", scratch / "gitops" / "platform" / "argocd")
        shutil.copy(module("argocd") / "manifests" / "install.yaml", at)
        file = at / "kustomization.yaml"
        file.write_text(file.read_text().replace(INSTALL, "install.yaml"))
    return list(build(scratch, "infra/argocd")), [cleaned(one) for one in manifests.objects(run)]


@pytest.fixture
def bare(platform: Platform) -> Iterator[Kubectl]:
    """A cluster whose Argo CD has no Application of its own left; at the end the bench's own root is back."""
    argocd = platform.kubectl.within("argocd")
    plain = [one for one in argocd.items("application") if not one["metadata"].get("ownerReferences")]
    assert not [one for one in plain if one["metadata"].get("finalizers")]  # what they made stays
    argocd.run("delete", "application", "root")  # first: it would bring the others back
    argocd.run("delete", "application", *(name for one in plain if (name := one["metadata"]["name"]) != "root"))
    yield platform.kubectl
    platform.kubectl.apply(ROOT / "gitops/clusters/bench/bootstrap/root.yaml", "--force-conflicts")
    for kind in ("resourcequota", "limitrange", "networkpolicy", "role", "rolebinding"):
        platform.kubectl.within(MODEL).run("delete", kind, "bounds", "--ignore-not-found")
    until(lambda: is_healthy(platform, "root"), "the bench's own root is Synced and Healthy")


@pytest.mark.cluster
@pytest.mark.timeout(3600)  # the first run builds engines and images
@pytest.mark.outage
def test_argo_cd_brings_up_the_tree_from_what_the_stack_makes(
    platform: Platform, bare: Kubectl, tmp_path: Path
) -> None:
    """Dry-run by the server, then applied: Argo CD, a tenant's bounds and the root; from there all is Argo CD's."""
    argocd, own = made_by_the_stack(tmp_path)
    crds = [one for one in argocd if one["kind"] == "CustomResourceDefinition"]
    rest = [one for one in argocd if one not in crds]
    for objects in (crds, rest, own):
        bare.apply(objects, "--dry-run=server", "--force-conflicts")
        bare.apply(objects, "--force-conflicts")
    platform.trust("argocd")
    for name in ("repo-server", "server", "redis"):
        bare.within("argocd").rolled_out(f"deployment/argocd-{name}", seconds=300)
    for name in APPLICATIONS:
        until(lambda name=name: is_healthy(platform, name), f"{name} is Synced and Healthy", seconds=900)  # type: ignore[misc]
    root = bare.within("argocd").get("application", "root")
    assert root["spec"]["source"]["kustomize"]["patches"]
    models = bare.within("argocd").get("applicationset", "models")
    told = json.dumps(models["spec"]["template"]["spec"]["source"]["kustomize"])
    assert f".{BENCH_DOMAIN}" in told  # the domain came by the handover, through the root
    assert bare.get("resourcequota", "bounds", f"--namespace={MODEL}")["spec"]["hard"]["services.loadbalancers"] == "0"
