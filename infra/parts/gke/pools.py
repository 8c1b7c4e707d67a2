"""Nodes: system, CPU and GPU pools over all zones. GPU nodes are tainted, and there only while used."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from coalmine.infra import names
from coalmine.infra.config import Pool, Stack
from parts.contracts import inner

# What a node itself needs; what pods need, their own identities have.
ROLES = ("roles/container.defaultNodeServiceAccount",)
TAINT = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class PoolsArgs:
    stack: Stack
    cluster: pulumi.Input[str]
    key: pulumi.Input[str]


class Pools(pulumi.ComponentResource):
    """Output: `account`, the e-mail of the nodes' service account."""

    account: pulumi.Output[str]

    def __init__(self, name: str, args: PoolsArgs, *, after: list[pulumi.Resource]) -> None:
        super().__init__("coalmine:gke:Pools", name)
        stack = args.stack
        account = gcp.serviceaccount.Account(
            f"{name}-nodes",
            project=stack.project,
            account_id=names.fit(f"{stack.name}-nodes", names.SERVICE_ACCOUNT),
            display_name=f"nodes of {stack.name}",
            opts=inner(self),
        )
        for role in ROLES:
            gcp.projects.IAMMember(
                f"{name}-nodes-{role.rpartition('.')[2]}",
                project=stack.project,
                role=role,
                member=account.email.apply(lambda email: f"serviceAccount:{email}"),
                opts=inner(self),
            )
        for pool in stack.pools:
            self._pool(pool, args, account.email, after)
        self.account = account.email
        self.register_outputs({"account": self.account})

    def _pool(self, pool: Pool, args: PoolsArgs, account: pulumi.Output[str], after: list[pulumi.Resource]) -> None:
        stack = args.stack
        gcp.container.NodePool(
            f"{stack.name}-{pool.name}",
            name=pool.name,
            project=stack.project,
            cluster=args.cluster,
            location=stack.region,
            node_locations=list(stack.zones),
            initial_node_count=1 if pool.min else 0,  # a zone
            autoscaling=gcp.container.NodePoolAutoscalingArgs(
                total_min_node_count=pool.min,
                total_max_node_count=pool.max,
                location_policy="ANY" if pool.spot or pool.hardware.gpus else "BALANCED",  # where there are any at all
            ),
            management=gcp.container.NodePoolManagementArgs(auto_repair=True, auto_upgrade=True),
            upgrade_settings=gcp.container.NodePoolUpgradeSettingsArgs(max_surge=1, max_unavailable=0),
            node_config=_node(pool, args, account),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after, ignore_changes=["initialNodeCount"]),
        )


def _node(pool: Pool, args: PoolsArgs, account: pulumi.Output[str]) -> gcp.container.NodePoolNodeConfigArgs:
    gpu = bool(pool.hardware.gpus)
    labels = {"coalmine.dev/pool": pool.name} | ({"nvidia.com/gpu.present": "true"} if gpu else {})
    return gcp.container.NodePoolNodeConfigArgs(
        machine_type=pool.machine,
        spot=pool.spot,
        disk_size_gb=pool.disk_gib,
        disk_type="pd-balanced",
        boot_disk_kms_key=args.key,
        service_account=account,
        oauth_scopes=["https://www.googleapis.com/auth/cloud-platform"],  # the roles decide, not the scopes
        labels=labels,
        resource_labels=dict(args.stack.labels),
        taints=[gcp.container.NodePoolNodeConfigTaintArgs(key=TAINT, value="present", effect="NO_SCHEDULE")]
        if gpu
        else [],
        guest_accelerators=[_accelerator(pool)] if gpu else [],
        gvnic=gcp.container.NodePoolNodeConfigGvnicArgs(enabled=True),
        shielded_instance_config=gcp.container.NodePoolNodeConfigShieldedInstanceConfigArgs(
            enable_integrity_monitoring=True,
            enable_secure_boot=not gpu,  # NVIDIA's driver is built on the node and is not signed for it
        ),
        workload_metadata_config=gcp.container.NodePoolNodeConfigWorkloadMetadataConfigArgs(mode="GKE_METADATA"),
    )


def _accelerator(pool: Pool) -> gcp.container.NodePoolNodeConfigGuestAcceleratorArgs:
    """The driver is installed by GKE, and so is the device plugin."""
    sharing = None
    if pool.time_slices > 1:
        sharing = gcp.container.NodePoolNodeConfigGuestAcceleratorGpuSharingConfigArgs(
            gpu_sharing_strategy="TIME_SHARING", max_shared_clients_per_gpu=pool.time_slices
        )
    return gcp.container.NodePoolNodeConfigGuestAcceleratorArgs(
        type=pool.hardware.gpu,
        count=pool.hardware.gpus,
        gpu_partition_size=pool.mig or None,
        gpu_sharing_config=sharing,
        gpu_driver_installation_config=gcp.container.NodePoolNodeConfigGuestAcceleratorGpuDriverInstallationConfigArgs(
            gpu_driver_version="DEFAULT"
        ),
    )
