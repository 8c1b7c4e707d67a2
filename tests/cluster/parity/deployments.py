"""The Deployment controller's part, played: the status of each Deployment as the script's world says.

Flagger reads nothing but this status, so arms are ready or not exactly when a script says so. Times are the script's:
`Available=False` since three ticks reads as thirty seconds ago.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from cluster.parity.kube import Kube, Object
from cluster.parity.script import INTERVAL, World

TARGET, PRIMARY = "sentiment", "sentiment-primary"
RELEASE = "coalmine.dev/release"


def deployment(namespace: str, release: str) -> Object:
    """What git holds: no replicas in it, since Flagger sets them."""
    labels = {"app": TARGET}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": TARGET, "namespace": namespace, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": {RELEASE: release}},
                "spec": {"containers": [{"name": TARGET, "image": f"{TARGET}:{release}"}]},
            },
        },
    }


def release_of(found: Object) -> str:
    """The release that a Deployment's template names."""
    release: str = found["spec"]["template"]["metadata"]["annotations"][RELEASE]
    return release


class DeploymentController:
    """`sync` after each tick and before the next."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._since: dict[tuple[str, str], tuple[bool, int]] = {}

    def sync(self, worlds: dict[str, World], *, tick: int) -> None:
        """Write the status of each Deployment in the namespaces of `worlds`."""
        for found in self._kube.list("Deployment")[0]:
            namespace, name = found["metadata"]["namespace"], found["metadata"]["name"]
            world = worlds.get(namespace)
            if world is None:
                continue
            replicas = found["spec"]["replicas"]
            ready = replicas == 0 or (world.primary if name == PRIMARY else world.canary)
            known = self._since.get((namespace, name))
            if known is None or known[0] != ready:
                known = self._since[namespace, name] = (ready, tick)
            status = _status(found["metadata"]["generation"], replicas, ready=ready, ticks_ago=tick - known[1])
            self._kube.patch("Deployment", namespace, name, {"status": status}, of="/status")


def _status(generation: int, replicas: int, *, ready: bool, ticks_ago: int) -> dict[str, Any]:
    when = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ticks_ago * INTERVAL)
    stamp = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    times = {"lastUpdateTime": stamp, "lastTransitionTime": stamp}
    available = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", **times}
    if not ready:
        available |= {"status": "False", "reason": "MinimumReplicasUnavailable"}
    progressing = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", **times}
    return {
        "observedGeneration": generation,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas if ready else 0,
        "availableReplicas": replicas if ready else 0,
        "conditions": [available, progressing],
    }
