"""Three zones of GPU nodes that kwok pretends: the scheduler and the controllers are real, the machines are not.

Pods placed there become Running without running anything. The nodes carry the taint that clusters put on GPUs, so
nothing comes there by chance.
"""

from __future__ import annotations

import json
from typing import Any

from cluster.engines import binary, module
from cluster.kubectl import Kubectl
from cluster.machine import Machine
from cluster.node.layout import FAKE_PODS, KWOK

ZONES = ("zone-a", "zone-b", "zone-c")
LABEL = "coalmine.bench/fake"  # on each of these nodes
TAINT = "nvidia.com/gpu"
GPUS = 4  # of each node
_STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "node/chaos/node-not-ready.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)
_LOST = "node-not-ready.stage.kwok.x-k8s.io"  # the label by which that stage finds its nodes


def start(machine: Machine) -> None:
    """Run kwok beside the bench's node; nothing happens if it runs. It ends with the bench."""
    folder = module("kwok") / "kustomize" / "stage"
    config = machine.layout.configs / "kwok.yaml"
    config.write_text("\n---\n".join((folder / name).read_text() for name in _STAGES))
    line = [
        str(binary("kwok")),
        f"--kubeconfig={machine.layout.kubeconfig}",
        f"--config={config}",
        f"--manage-nodes-with-label-selector={LABEL}=true",
        f"--cidr={FAKE_PODS}",
        "--node-lease-duration-seconds=40",
    ]
    machine.daemon(KWOK).start(line)


def add(kubectl: Kubectl, *, each: int = 2) -> list[str]:
    """Add `each` nodes to every zone and wait until they are ready; returns the names of all. Those there stay."""
    wanted = [_node(f"gpu-{zone}-{number}", zone) for zone in ZONES for number in range(each)]
    names = [node["metadata"]["name"] for node in wanted]
    there = {node["metadata"]["name"] for node in kubectl.items("nodes", f"--selector={LABEL}=true")}
    if new := [node for node in wanted if node["metadata"]["name"] not in there]:
        # Not applied: a server-side apply would drop the status, which says how many GPUs there are.
        listed = {"apiVersion": "v1", "kind": "List", "items": new}
        kubectl.run("create", "-f", "-", stdin=json.dumps(listed))
    for name in names:
        kubectl.wait(f"node/{name}", "Ready")
    return names


def lose(kubectl: Kubectl, zone: str) -> None:
    """The zone's nodes stop being ready; the controllers then taint them and evict, as their pods tolerate."""
    selector = f"--selector={LABEL}=true,topology.kubernetes.io/zone={zone}"
    kubectl.run("label", "node", selector, f"{_LOST}=true", "--overwrite")
    kubectl.wait("node", "condition=Ready=false", selector)


def restore(kubectl: Kubectl, zone: str) -> None:
    """The zone comes back."""
    selector = f"--selector={LABEL}=true,topology.kubernetes.io/zone={zone}"
    kubectl.run("label", "node", selector, f"{_LOST}-")
    kubectl.wait("node", "Ready", selector)


def remove(kubectl: Kubectl) -> None:
    """Delete all of them."""
    kubectl.run("delete", "node", f"--selector={LABEL}=true", "--ignore-not-found")


def _node(name: str, zone: str) -> dict[str, Any]:
    capacity = {"cpu": "16", "memory": "64Gi", "pods": "110", TAINT: str(GPUS)}
    labels = {
        LABEL: "true",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/region": "bench",
        "topology.kubernetes.io/zone": zone,
        "nvidia.com/gpu.present": "true",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [{"key": TAINT, "value": "present", "effect": "NoSchedule"}]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }
