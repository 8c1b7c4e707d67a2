"""The control plane: in all zones, reached by operators only, its Secrets under a key of ours, audited."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from coalmine.infra.config import Stack
from parts.contracts import inner

MASTER = "172.16.0.0/28"  # the control plane's own addresses


@dataclass(frozen=True, slots=True)
class ClusterArgs:
    stack: Stack
    network: pulumi.Input[str]
    subnet: pulumi.Input[str]
    key: pulumi.Input[str]


class Cluster(pulumi.ComponentResource):
    """Outputs: `name`, and a `kubeconfig` that holds no credential: gke-gcloud-auth-plugin asks for one."""

    name: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: ClusterArgs, *, after: list[pulumi.Resource]) -> None:
        super().__init__("coalmine:gke:Cluster", name)
        stack = args.stack
        audit = gcp.projects.IAMAuditConfig(
            name,
            project=stack.project,
            service="container.googleapis.com",
            audit_log_configs=[
                gcp.projects.IAMAuditConfigAuditLogConfigArgs(log_type=kind) for kind in ("ADMIN_READ", "DATA_WRITE")
            ],  # reads of objects would be most of the bill for logs
            opts=inner(self),
        )
        cluster = gcp.container.Cluster(
            name,
            **_where(stack),
            **_access(stack),
            **_guards(args),
            network=args.network,
            subnetwork=args.subnet,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[audit, *after], protect=True),
        )
        self.name = cluster.name
        self.kubeconfig = pulumi.Output.all(
            cluster.name, cluster.endpoint, cluster.master_auth.cluster_ca_certificate
        ).apply(lambda found: kubeconfig(*found))
        self.register_outputs({"name": self.name})


def _where(stack: Stack) -> dict[str, object]:
    return {
        "project": stack.project,
        "location": stack.region,  # a region, not a zone: three control planes
        "node_locations": list(stack.zones),
        "remove_default_node_pool": True,  # its pools are resources of their own
        "initial_node_count": 1,
        "resource_labels": dict(stack.labels),
        "release_channel": gcp.container.ClusterReleaseChannelArgs(channel="REGULAR"),
    }


def _access(stack: Stack) -> dict[str, object]:
    """Without operators there is no public end at all."""
    blocks = [
        gcp.container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(
            cidr_block=network, display_name=f"operators-{n}"
        )
        for n, network in enumerate(stack.operators)
    ]
    return {
        "ip_allocation_policy": gcp.container.ClusterIpAllocationPolicyArgs(
            cluster_secondary_range_name="pods", services_secondary_range_name="services"
        ),
        "private_cluster_config": gcp.container.ClusterPrivateClusterConfigArgs(
            enable_private_nodes=True, enable_private_endpoint=not blocks, master_ipv4_cidr_block=MASTER
        ),
        "master_authorized_networks_config": gcp.container.ClusterMasterAuthorizedNetworksConfigArgs(
            cidr_blocks=blocks, gcp_public_cidrs_access_enabled=False
        ),
    }


def _guards(args: ClusterArgs) -> dict[str, object]:
    return {
        "deletion_protection": True,
        "datapath_provider": "ADVANCED_DATAPATH",  # enforces NetworkPolicies
        "enable_shielded_nodes": True,
        "workload_identity_config": gcp.container.ClusterWorkloadIdentityConfigArgs(
            workload_pool=f"{args.stack.project}.svc.id.goog"
        ),
        "database_encryption": gcp.container.ClusterDatabaseEncryptionArgs(state="ENCRYPTED", key_name=args.key),
        "cost_management_config": gcp.container.ClusterCostManagementConfigArgs(enabled=True),  # by namespace
        "logging_config": gcp.container.ClusterLoggingConfigArgs(
            enable_components=["SYSTEM_COMPONENTS", "WORKLOADS", "APISERVER", "SCHEDULER", "CONTROLLER_MANAGER"]
        ),
    }


def kubeconfig(name: str, endpoint: str, authority: str) -> str:
    """JSON is YAML. Whoever uses it must be known to gcloud."""
    user = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "gke-gcloud-auth-plugin",
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [
                {"name": name, "cluster": {"server": f"https://{endpoint}", "certificate-authority-data": authority}}
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "users": [{"name": name, "user": {"exec": user}}],
        }
    )
