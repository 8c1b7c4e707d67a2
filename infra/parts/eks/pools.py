"""Nodes: system, CPU and GPU pools over all zones. GPU nodes are tainted, and there only while used."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from coalmine.infra.config import Pool, Stack
from parts.contracts import inner
from parts.eks.network import trust
from parts.inside.gpus import sharing

# What a node itself needs; what pods need, their own identities have.
POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy")
TAINT = "nvidia.com/gpu"
_TEMPLATE = "k8s.io/cluster-autoscaler/node-template"


@dataclass(frozen=True, slots=True)
class PoolsArgs:
    stack: Stack
    cluster: pulumi.Input[str]
    subnets: list[pulumi.Output[str]]
    key: pulumi.Input[str]


class Pools(pulumi.ComponentResource):
    """Nothing more to say of it than that it stands."""

    def __init__(self, name: str, args: PoolsArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("coalmine:eks:Pools", name, None, opts)
        role = aws.iam.Role(f"{name}-nodes", assume_role_policy=trust("ec2.amazonaws.com"), opts=inner(self))
        may: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{name}-nodes-{policy}",
                role=role.name,
                policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=inner(self),
            )
            for policy in POLICIES
        ]
        for pool in args.stack.pools:
            self._pool(pool, args, role, may)
        self.register_outputs({})

    def _pool(self, pool: Pool, args: PoolsArgs, role: aws.iam.Role, may: list[pulumi.Resource]) -> None:
        stack = args.stack
        template = self._template(pool, args)
        gpu = bool(pool.hardware.gpus)
        group = aws.eks.NodeGroup(
            f"{stack.name}-{pool.name}",
            node_group_name=pool.name,
            cluster_name=args.cluster,
            node_role_arn=role.arn,
            subnet_ids=args.subnets,  # all zones: the group spreads its nodes over them
            capacity_type="SPOT" if pool.spot else "ON_DEMAND",
            instance_types=[pool.machine],
            ami_type="AL2023_x86_64_NVIDIA" if gpu else "AL2023_x86_64_STANDARD",  # the driver is in the image
            launch_template=aws.eks.NodeGroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(str)
            ),
            scaling_config=aws.eks.NodeGroupScalingConfigArgs(
                min_size=pool.min, max_size=pool.max, desired_size=pool.min
            ),
            labels=_labels(pool),
            taints=[aws.eks.NodeGroupTaintArgs(key=TAINT, value="present", effect="NO_SCHEDULE")] if gpu else [],
            tags=dict(stack.labels),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=may,
                ignore_changes=["scalingConfig.desiredSize"],  # the autoscaler's
            ),
        )
        self._told(pool, group)

    def _template(self, pool: Pool, args: PoolsArgs) -> aws.ec2.LaunchTemplate:
        stack = args.stack
        return aws.ec2.LaunchTemplate(
            f"{stack.name}-{pool.name}",
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_tokens="required",
                http_put_response_hop_limit=1,  # pods are two hops away: they get no credential of the node's
            ),
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        encrypted="true",
                        kms_key_id=args.key,
                        volume_size=pool.disk_gib,
                        volume_type="gp3",
                        delete_on_termination="true",
                    ),
                )
            ],
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=dict(stack.labels))
                for kind in ("instance", "volume")
            ],
            opts=inner(self),
        )

    def _told(self, pool: Pool, group: aws.eks.NodeGroup) -> None:
        """What the autoscaler must know of a group that has no node to look at."""
        tags = {f"{_TEMPLATE}/label/{key}": value for key, value in _labels(pool).items()}
        if gpus := pool.hardware.gpus:
            tags[f"{_TEMPLATE}/taint/{TAINT}"] = "present:NoSchedule"
            tags[f"{_TEMPLATE}/resources/{TAINT}"] = str(gpus * pool.time_slices)
        scaled = group.resources.apply(lambda found: found[0].autoscaling_groups[0].name)
        for number, (key, value) in enumerate(tags.items()):
            aws.autoscaling.Tag(
                f"{pool.name}-{number}",
                autoscaling_group_name=scaled,
                tag=aws.autoscaling.TagTagArgs(key=key, value=value, propagate_at_launch=False),
                opts=inner(self),
            )


def _labels(pool: Pool) -> dict[str, str]:
    gpu = (
        {"nvidia.com/gpu.present": "true", "nvidia.com/device-plugin.config": sharing(pool)}
        if pool.hardware.gpus
        else {}
    )
    return {"coalmine.dev/pool": pool.name, **gpu}
