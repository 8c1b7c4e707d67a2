"""What GPUs need beside their nodes where the cloud does not bring it: NVIDIA's device plugin, and an autoscaler.

Both are Applications of Argo CD from their projects' own charts, so that they are kept in line like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from coalmine.infra.config import Pool, Stack
from parts.contracts import Cloud, inner
from parts.inside.cluster import Inside

# Versions that others run; neither chart was rendered or run here.
PLUGIN = ("https://nvidia.github.io/k8s-device-plugin", "nvidia-device-plugin", "0.18.2")
AUTOSCALER = ("https://kubernetes.github.io/autoscaler", "cluster-autoscaler", "9.46.3")


@dataclass(frozen=True, slots=True)
class AcceleratorsArgs:
    stack: Stack
    cloud: Cloud


class Accelerators(pulumi.ComponentResource):
    """Applications `nvidia-device-plugin` and `cluster-autoscaler`, each where it is needed."""

    def __init__(self, name: str, args: AcceleratorsArgs, inside: Inside, *, after: list[pulumi.Resource]) -> None:
        super().__init__("coalmine:inside:Accelerators", name, None, inside.component(after))
        if args.cloud.device_plugin and args.stack.gpu:
            self._chart(PLUGIN, "kube-system", plugin(args.stack.gpu))
        if args.cloud.autoscaler:
            values = args.cloud.cluster.apply(lambda cluster: autoscaler(cluster, args.cloud.region))
            self._chart(AUTOSCALER, "kube-system", values)
        self.register_outputs({})

    def _chart(
        self, chart: tuple[str, str, str], where: str, values: pulumi.Input[Mapping[str, Any]]
    ) -> k8s.apiextensions.CustomResource:
        repository, name, version = chart
        return k8s.apiextensions.CustomResource(
            name,
            api_version="argoproj.io/v1alpha1",
            kind="Application",
            metadata=k8s.meta.v1.ObjectMetaArgs(name=name, namespace="argocd", labels={"coalmine.dev/source": "chart"}),
            spec={
                "project": "default",
                "source": {
                    "repoURL": repository,
                    "chart": name,
                    "targetRevision": version,
                    "helm": {"releaseName": name, "valuesObject": values},
                },
                "destination": {"server": "https://kubernetes.default.svc", "namespace": where},
                "syncPolicy": {"automated": {"prune": True, "selfHeal": True}, "syncOptions": ["ServerSideApply=true"]},
            },
            opts=inner(self),
        )


def sharing(pool: Pool) -> str:
    """The plugin's configuration for this pool's nodes, by name; the nodes carry it as a label."""
    if pool.time_slices > 1:
        return f"slices-{pool.time_slices}"
    return "mig" if pool.mig else "whole"


def plugin(pools: tuple[Pool, ...]) -> dict[str, Any]:
    """The chart's values: a configuration for each way of sharing, chosen by the node's label."""
    configs = {"default": _config("none", 1)}
    for pool in pools:
        configs[sharing(pool)] = _config("single" if pool.mig else "none", pool.time_slices)
    return {
        "config": {"map": configs, "default": "default"},
        "nodeSelector": {"nvidia.com/gpu.present": "true"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }


def _config(mig: str, slices: int) -> str:
    lines = ["version: v1", f"flags: {{migStrategy: {mig}}}"]
    if slices > 1:
        lines.append(f"sharing: {{timeSlicing: {{resources: [{{name: nvidia.com/gpu, replicas: {slices}}}]}}}}")
    return "\n".join(lines) + "\n"


def autoscaler(cluster: str, region: str) -> dict[str, Any]:
    return {
        "cloudProvider": "aws",
        "awsRegion": region,
        "autoDiscovery": {"clusterName": cluster},
        "rbac": {"serviceAccount": {"name": "cluster-autoscaler"}},
        "extraArgs": {"balance-similar-node-groups": True, "expander": "least-waste"},
    }
