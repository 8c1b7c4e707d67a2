"""What `gitops/` says in one place fits what it says in another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from manifests.rendered import CLUSTERS, RELEASE, build, containers, folders, of_cluster, pods, where

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
each_cluster = pytest.mark.parametrize("name", CLUSTERS)


def test_every_folder_builds(root: Path) -> None:
    """Plain `kustomize build`, without an option, makes objects of each folder that is no Component."""
    assert all(build(root, folder) for folder in folders(root))


@each_cluster
def test_no_object_is_brought_twice(root: Path, name: str) -> None:
    """Two Applications that own one object would fight over it."""
    found = [(one["apiVersion"].split("/")[0], where(one)) for one in of_cluster(root, name)]
    assert sorted(found) == sorted(set(found))


@each_cluster
def test_our_images_are_named_by_digest(root: Path, name: str) -> None:
    """No tag can be moved under a cluster; upstream's own images keep the name that upstream gives them."""
    upstream = ("quay.io/prometheus/",)
    images = {c["image"] for _, template in pods(of_cluster(root, name)) for c in containers(template)}
    assert [one for one in images if not _DIGEST.search(one) and not one.startswith(upstream)] == []


@each_cluster
def test_flaggers_own_objects_are_not_in_git(root: Path, name: str) -> None:
    """The HTTPRoute of the Canary's name, its Services and the primary belong to Flagger; no replicas are given."""
    found = {where(one): one for one in of_cluster(root, name)}
    flaggers = [
        f"{kind} sentiment/sentiment{arm}" for kind in ("Service", "HTTPRoute") for arm in ("", "-primary", "-canary")
    ]
    assert [one for one in [*flaggers, "Deployment sentiment/sentiment-primary"] if one in found] == []
    assert "replicas" not in found["Deployment sentiment/sentiment"]["spec"]


@each_cluster
def test_services_select_pods_that_have_the_port(root: Path, name: str) -> None:
    """Each Service of the platform has a pod behind it, with the port under that name."""
    found = of_cluster(root, name)
    for service in (one for one in found if one["kind"] == "Service"):
        behind = [
            template
            for workload, template in pods(found)
            if workload["metadata"]["namespace"] == service["metadata"]["namespace"]
            and service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ]
        ports = {p["name"] for template in behind for c in containers(template) for p in c.get("ports", ())}
        assert {p["targetPort"] for p in service["spec"]["ports"]} <= ports, where(service)


@each_cluster
def test_pods_are_what_restricted_namespaces_take(root: Path, name: str) -> None:
    """No root, no capability, no writable root, no token unless it is asked for by the pod itself."""
    for workload, template in pods(of_cluster(root, name)):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"], where(workload)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where(workload)
        assert "automountServiceAccountToken" in pod, where(workload)
        for container in containers(template):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"], (where(workload), container["name"])
            assert not context["allowPrivilegeEscalation"], (where(workload), container["name"])
            assert context["capabilities"] == {"drop": ["ALL"]}, (where(workload), container["name"])


@each_cluster
def test_service_accounts_give_no_token_by_themselves(root: Path, name: str) -> None:
    found = [one for one in of_cluster(root, name) if one["kind"] == "ServiceAccount"]
    assert [where(one) for one in found if one.get("automountServiceAccountToken") is not False] == []


@each_cluster
def test_a_model_ends_gracefully(root: Path, name: str) -> None:
    """Each container waits until the gateway has heard; the grace holds that wait and the longest prediction, twice."""
    model = next(t for w, t in pods(of_cluster(root, name)) if where(w) == "Deployment sentiment/sentiment")
    waits = [c["lifecycle"]["preStop"]["sleep"]["seconds"] for c in model["spec"]["containers"]]
    assert len(set(waits)) == 1
    assert model["spec"]["terminationGracePeriodSeconds"] > waits[0] + 2 * 10


@each_cluster
def test_a_limit_never_puts_a_gpu_on_a_pod(root: Path, name: str) -> None:
    """A LimitRange with a maximum for GPUs and no default gives each pod one: none speaks of GPUs."""
    ranges = [one for one in of_cluster(root, name) if one["kind"] == "LimitRange"]
    assert ranges
    assert "gpu" not in str([one["spec"] for one in ranges])


@each_cluster
def test_the_pods_bear_the_release(root: Path, name: str) -> None:
    """The release file's annotation reaches the pods, whence nginx and the service read it."""
    model = next(t for w, t in pods(of_cluster(root, name)) if where(w) == "Deployment sentiment/sentiment")
    assert model["metadata"]["annotations"]["coalmine.dev/release"] == str(RELEASE)


@each_cluster
def test_only_those_who_must_may_ask_the_api(root: Path, name: str) -> None:
    """The judge and the closer read; nobody of ours may change a workload, and nobody lists Secrets."""
    rules = [
        (where(one), rule)
        for one in of_cluster(root, name)
        if one["kind"] in ("Role", "ClusterRole")
        for rule in one["rules"]
    ]
    for role, rule in rules:
        assert "*" not in rule["verbs"], role
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["create"] or (rule["verbs"] == ["get"] and rule["resourceNames"]), role
        if {"deployments", "canaries"} & set(rule["resources"]):
            assert set(rule["verbs"]) <= {"get", "list", "watch"}, role


@each_cluster
def test_the_arms_have_an_envoy_cluster_each(root: Path, name: str) -> None:
    """Whatever the weights are: a preference for the own zone is set on Flagger's route, and no retry."""
    policy = next(one for one in of_cluster(root, name) if one["kind"] == "BackendTrafficPolicy")
    assert policy["spec"]["targetRefs"] == [
        {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "sentiment"}
    ]
    assert policy["spec"]["loadBalancer"]["zoneAware"]["preferLocal"]
    assert "retry" not in policy["spec"]


def test_the_gpu_is_the_services(root: Path) -> None:
    """The component puts it on the service, not on nginx beside it, and keeps requests and limits equal."""
    overlay = root / "gitops" / "apps" / "sentiment" / "overlays" / "gpu"
    overlay.mkdir(exist_ok=True)
    (overlay / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        "resources: [../bench]\ncomponents: [../../../../components/gpu, ../../../../components/nginx-gateway-fabric]\n"
    )
    found = build(root, "gitops/apps/sentiment/overlays/gpu")
    model = next(one for one in found if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    gpus = {c["name"]: c["resources"]["limits"].get("nvidia.com/gpu") for c in model["containers"]}
    assert gpus == {"sentiment": "1", "nginx": None}
    assert "BackendTrafficPolicy" not in {one["kind"] for one in found}
    (overlay / "kustomization.yaml").unlink()
    overlay.rmdir()


def test_manifests_stay_short() -> None:
    """A manifest that needs scrolling is two."""
    files = [
        p for p in (Path(__file__).parents[2] / "gitops").rglob("*.yaml") if "monitoring/rules" not in p.as_posix()
    ]
    assert {str(p): n for p in files if (n := len(p.read_text(encoding="utf-8").splitlines())) >= 60} == {}
