"""From infrastructure to GitOps: Argo CD, and one root Application that is told where everything is. Nothing more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from coalmine.infra import handover
from coalmine.infra.config import Stack
from coalmine.infra.handover import Values
from parts.contracts import Cloud, inner
from parts.inside.cluster import Inside

ARGOCD = Path(__file__).parents[2] / "argocd"  # Argo CD itself, as gitops/clusters/<name>/bootstrap has it


@dataclass(frozen=True, slots=True)
class BridgeArgs:
    stack: Stack
    cloud: Cloud


class Bridge(pulumi.ComponentResource):
    """Output: `application`, the root's name."""

    application: pulumi.Output[str]

    def __init__(self, name: str, args: BridgeArgs, inside: Inside, *, after: list[pulumi.Resource]) -> None:
        super().__init__("coalmine:inside:Bridge", name, None, inside.component(after))
        argocd = k8s.kustomize.v2.Directory("argocd", directory=str(ARGOCD), opts=inner(self))
        root = k8s.apiextensions.CustomResource(
            "root",
            api_version="argoproj.io/v1alpha1",
            kind="Application",
            metadata=k8s.meta.v1.ObjectMetaArgs(name="root", namespace="argocd"),
            spec=pulumi.Output.from_input(_told(args.cloud)).apply(lambda told: spec(args.stack, told)),
            opts=inner(self, after=[argocd]),
        )
        self.application = root.metadata.apply(lambda _: "argocd/root")
        self.register_outputs({"application": self.application})


def _told(cloud: Cloud) -> dict[str, Any]:
    """What is known only when the cloud has answered."""
    noted = {component: dict(found) for component, found in cloud.annotations.items()}
    return {"dns": dict(cloud.dns), "annotations": noted, "databases": cloud.stores is not None}


def spec(stack: Stack, told: Mapping[str, Any]) -> dict[str, Any]:
    """The root Application's."""
    values = Values(
        git=stack.git,
        branch=stack.branch,
        domain=stack.domain,
        contact=stack.contact,
        models=tuple(tenant.name for tenant in stack.tenants),
        databases=told["databases"],
        dns=told["dns"],
        annotations=told["annotations"],
    )
    return {
        "project": "default",
        "source": {
            "repoURL": stack.git,
            "targetRevision": stack.branch,
            "path": stack.folder,
            "kustomize": {"patches": handover.patches(values)},
        },
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "argocd"},
        "syncPolicy": {
            "automated": {"prune": True, "selfHeal": True},
            "syncOptions": ["ServerSideApply=true"],
            "retry": {"limit": -1, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "1m"}},
        },
    }
