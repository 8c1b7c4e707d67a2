"""How the program speaks to the cluster, and what it may wait for."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from coalmine.infra.config import Stack
from parts.contracts import Cloud


@dataclass(frozen=True, slots=True)
class Inside:
    """A provider for the cluster. `keep`: whether what holds data is protected here."""

    provider: k8s.Provider
    keep: bool
    ready: tuple[pulumi.Resource, ...]

    def component(self, after: list[pulumi.Resource] | None = None) -> pulumi.ResourceOptions:
        """For a part of the program; its resources inherit the provider."""
        return pulumi.ResourceOptions(providers={"kubernetes": self.provider}, depends_on=[*self.ready, *(after or [])])


def connect(stack: Stack, cloud: Cloud) -> Inside:
    """By the cloud's kubeconfig, else by the user's own: $KUBECONFIG and the context that the stack names."""
    provider = k8s.Provider(
        "cluster",
        kubeconfig=cloud.kubeconfig,
        context=stack.context or None,
        enable_server_side_apply=True,
        enable_patch_force=True,  # a field that somebody edited by hand is put right, not reported as a conflict
    )
    return Inside(provider, stack.keep, cloud.ready)


def namespace(name: str, labels: dict[str, str], parent: pulumi.Resource, *, keep: bool) -> k8s.core.v1.Namespace:
    """Pods that may not run there are refused by the API server; as gitops/platform/namespaces says it too."""
    enforced = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
    }
    return k8s.core.v1.Namespace(
        name,
        metadata=k8s.meta.v1.ObjectMetaArgs(name=name, labels=enforced | labels),
        opts=pulumi.ResourceOptions(parent=parent, protect=keep, retain_on_delete=keep),
    )
