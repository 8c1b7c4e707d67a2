"""Three zones of pretended GPU nodes under the real scheduler and the real controllers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import fakenodes
from cluster.kubectl import Kubectl
from cluster.machine import Machine

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]  # the first run builds engines

SPREAD: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "spread"},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "spread"}},
        "template": {
            "metadata": {"labels": {"app": "spread"}},
            "spec": {
                "automountServiceAccountToken": False,
                "tolerations": [
                    {"key": fakenodes.TAINT, "operator": "Exists", "effect": "NoSchedule"},
                    {
                        "key": "node.kubernetes.io/not-ready",
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": 1,
                    },
                ],
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "topology.kubernetes.io/zone",
                        "whenUnsatisfiable": "DoNotSchedule",
                        "nodeTaintsPolicy": "Honor",  # a zone that is lost asks for no pods of its own
                        "labelSelector": {"matchLabels": {"app": "spread"}},
                    }
                ],
                "containers": [
                    {
                        "name": "model",
                        "image": "pretended",
                        "resources": {"limits": {fakenodes.TAINT: "2", "cpu": "1", "memory": "1Gi"}},
                    }
                ],
            },
        },
    },
}


@pytest.fixture
def zones(cluster: Kubectl) -> Iterator[Kubectl]:
    """kubectl in a namespace of its own, in a cluster that has the zones."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("pretended nodes are added to no cluster of a user")
    fakenodes.start(Machine())
    fakenodes.add(cluster, each=2)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "zones"}})
    yield cluster.within("zones")
    cluster.run("delete", "namespace", "zones")
    fakenodes.remove(cluster)


def test_pods_that_ask_for_gpus_spread_over_the_zones_and_move_when_one_is_lost(zones: Kubectl) -> None:
    zones.apply(SPREAD)
    zones.rolled_out("deployment/spread")
    assert _by_zone(zones) == dict.fromkeys(fakenodes.ZONES, 1)
    fakenodes.lose(zones, "zone-b")
    zones.wait("deployment/spread", "condition=Available=false")
    zones.rolled_out("deployment/spread")
    assert sorted(_by_zone(zones).items()) in ([("zone-a", 1), ("zone-c", 2)], [("zone-a", 2), ("zone-c", 1)])
    fakenodes.restore(zones, "zone-b")


def _by_zone(zones: Kubectl) -> Counter[str]:
    """How many running pods each zone has."""
    where = {node["metadata"]["name"]: node["metadata"]["labels"] for node in zones.items("nodes")}
    pods = [pod for pod in zones.items("pods") if "deletionTimestamp" not in pod["metadata"]]
    return Counter(where[pod["spec"]["nodeName"]]["topology.kubernetes.io/zone"] for pod in pods)
