"""From a stack to its cloud. Only the one that it names is imported: each package is a hundred megabytes."""

from __future__ import annotations

import pulumi

from coalmine.infra.config import Stack
from parts.contracts import Cloud, Seed


def build(stack: Stack, seed: Seed) -> Cloud:
    """Make the cluster and what lies around it, or take the one that is there."""
    if stack.provider == "gke":
        from parts.gke import build as gke  # noqa: PLC0415 - loads pulumi_gcp

        return gke(stack, seed)
    if stack.provider == "eks":
        from parts.eks import build as eks  # noqa: PLC0415 - loads pulumi_aws

        return eks(stack, seed)
    return Cloud(cluster=pulumi.Output.from_input(stack.context or "the kubeconfig's current context"))
