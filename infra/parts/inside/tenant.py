"""A tenant's bounds: a namespace, and what nothing in it can go past, whatever git says of it.

`gitops/platform/tenant` fills the same namespace with what a model needs. Both hold: quotas count together, the smaller
wins; a connection needs a NetworkPolicy of git's that allows it; people get no right here that git does not give too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from coalmine.infra import config
from parts.contracts import inner
from parts.inside.cluster import Inside, namespace

NAME = "bounds"  # of each object; git's are called `tenant`


@dataclass(frozen=True, slots=True)
class TenantArgs:
    tenant: config.Tenant
    labels: Mapping[str, str]
    keep: bool


class Tenant(pulumi.ComponentResource):
    """Output: `namespace`."""

    namespace: pulumi.Output[str]

    def __init__(self, name: str, args: TenantArgs, inside: Inside) -> None:
        super().__init__("coalmine:inside:Tenant", name, None, inside.component())
        labels = {"coalmine.dev/tenant": "true", **{f"coalmine.dev/{key}": value for key, value in args.labels.items()}}
        made = namespace(name, labels, self, keep=args.keep)
        meta = k8s.meta.v1.ObjectMetaArgs(name=NAME, namespace=name)
        opts = inner(self, after=[made])
        k8s.core.v1.ResourceQuota(
            f"{name}-{NAME}", metadata=meta, spec=k8s.core.v1.ResourceQuotaSpecArgs(hard=_quota(args.tenant)), opts=opts
        )
        k8s.core.v1.LimitRange(
            f"{name}-{NAME}",
            metadata=meta,
            spec=k8s.core.v1.LimitRangeSpecArgs(limits=[_limits(args.tenant)]),
            opts=opts,
        )
        k8s.networking.v1.NetworkPolicy(
            f"{name}-{NAME}",
            metadata=meta,
            spec=k8s.networking.v1.NetworkPolicySpecArgs(
                pod_selector=k8s.meta.v1.LabelSelectorArgs(), policy_types=["Ingress", "Egress"]
            ),
            opts=opts,
        )
        self._people(name, args.tenant, meta, opts)
        self.namespace = made.metadata.name
        self.register_outputs({"namespace": self.namespace})

    def _people(
        self, name: str, tenant: config.Tenant, meta: k8s.meta.v1.ObjectMetaArgs, opts: pulumi.ResourceOptions
    ) -> None:
        """They see what is theirs; they change it through git."""
        look = ["get", "list", "watch"]
        k8s.rbac.v1.Role(
            f"{name}-{NAME}",
            metadata=meta,
            rules=[
                k8s.rbac.v1.PolicyRuleArgs(
                    api_groups=[""],
                    resources=["pods", "pods/log", "events", "resourcequotas", "limitranges"],
                    verbs=look,
                )
            ],
            opts=opts,
        )
        k8s.rbac.v1.RoleBinding(
            f"{name}-{NAME}",
            metadata=meta,
            role_ref=k8s.rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind="Role", name=NAME),
            subjects=[
                k8s.rbac.v1.SubjectArgs(
                    kind="Group", api_group="rbac.authorization.k8s.io", name=tenant.group or f"coalmine:{tenant.name}"
                )
            ],
            opts=opts,
        )


def _quota(tenant: config.Tenant) -> dict[str, str]:
    return {
        "requests.cpu": str(tenant.cpus),
        "requests.memory": f"{tenant.memory_gib}Gi",
        "limits.memory": f"{2 * tenant.memory_gib}Gi",
        "requests.nvidia.com/gpu": str(tenant.gpus),  # the share; a limit of GPUs is always its request
        "services.loadbalancers": "0",  # the gateway is the only door
        "services.nodeports": "0",
    }


def _limits(tenant: config.Tenant) -> k8s.core.v1.LimitRangeItemArgs:
    """Nothing on GPUs: a maximum without a default would put one on every pod. The quota counts them."""
    return k8s.core.v1.LimitRangeItemArgs(
        type="Container",
        default_request={"cpu": "50m", "memory": "128Mi"},
        default={"memory": "512Mi"},
        max={"cpu": str(tenant.cpus), "memory": f"{tenant.memory_gib}Gi"},
    )
