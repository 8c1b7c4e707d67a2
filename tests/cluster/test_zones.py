"""The sentiment app's own manifests on three zones of pretended GPU nodes, under the real scheduler and controllers.

Flagger's primary is the target with replicas: here its pods are made without Flagger, as it would make them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import fakenodes
from cluster.kubectl import Kubectl
from cluster.machine import Machine
from cluster.stage import until
from manifests.rendered import build, tree
from manifests.tenants import second

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]  # the first run builds engines

NAME = "on-gpus"
OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../bench]
components: [../../../../components/gpu, ../../../../components/zones]
"""
QUOTA = """
patches:
  - patch: |-
      apiVersion: v1
      kind: ResourceQuota
      metadata: {name: tenant}
      spec: {hard: {requests.nvidia.com/gpu: "4"}}
"""


@pytest.fixture
def model(cluster: Kubectl, tmp_path: Path) -> Iterator[Kubectl]:
    """A tenant that has GPUs, its model with the components for GPUs and zones, and three zones of two nodes."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("pretended nodes are added to no cluster of a user")
    fakenodes.start(Machine())
    fakenodes.add(cluster, each=2)
    root = tree(tmp_path)
    second(root, name=NAME)
    tenant = root / f"gitops/tenants/{NAME}/namespace/kustomization.yaml"
    tenant.write_text(tenant.read_text() + QUOTA)
    overlay = root / f"gitops/apps/{NAME}/overlays/gpu"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(OVERLAY)
    made = [*build(root, f"gitops/tenants/{NAME}/namespace"), *build(root, f"gitops/apps/{NAME}/overlays/gpu")]
    kinds = ("Namespace", "ResourceQuota", "LimitRange", "ServiceAccount", "Deployment")
    cluster.apply([one for one in made if one["kind"] == "Namespace"])
    cluster.apply([_three(one) for one in made if one["kind"] in kinds[1:]])
    yield cluster.within(NAME)
    cluster.run("delete", "namespace", NAME)
    fakenodes.remove(cluster)


def test_pods_come_to_gpu_nodes_one_in_each_zone_and_a_lost_zones_pod_moves(model: Kubectl) -> None:
    model.rolled_out(f"deployment/{NAME}")
    assert _zones(model) == dict.fromkeys(fakenodes.ZONES, 1)
    quota = model.get("resourcequota", "tenant")["status"]["used"]["requests.nvidia.com/gpu"]
    assert quota == "3"  # one a pod: not one for nginx, and none for init containers on top
    fakenodes.lose(model, "zone-b")
    until(lambda: "zone-b" not in _zones(model) and _zones(model).total() == 3, "its pod is made anew elsewhere")
    model.rolled_out(f"deployment/{NAME}")
    assert sorted(_zones(model).values()) == [1, 2]
    fakenodes.restore(model, "zone-b")


def test_a_pod_beyond_the_tenants_gpus_is_not_made(model: Kubectl) -> None:
    """Four are given: three run, and the fifth of five is refused by the quota, not by a lack of nodes."""
    model.run("scale", f"deployment/{NAME}", "--replicas=5")
    until(lambda: _zones(model).total() == 4, "as many run as the quota gives")
    until(lambda: _told(model, "exceeded quota: tenant"), "the fifth is refused")


def _three(one: dict[str, Any]) -> dict[str, Any]:
    return one | {"spec": one["spec"] | {"replicas": 3}} if one["kind"] == "Deployment" else one


def _zones(model: Kubectl) -> Counter[str]:
    """How many running pods each zone's GPU nodes have. A pod elsewhere is a KeyError: no GPU is there."""
    nodes = model.items("nodes", f"--selector={fakenodes.LABEL}=true")
    where = {node["metadata"]["name"]: node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    pods = [pod for pod in model.items("pods") if "deletionTimestamp" not in pod["metadata"]]
    return Counter(where[pod["spec"]["nodeName"]] for pod in pods if pod["status"]["phase"] == "Running")


def _told(model: Kubectl, words: str) -> bool:
    return any(words in event["message"] for event in model.items("events"))
