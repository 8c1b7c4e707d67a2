"""Who may do what in the cloud: a role for each component, on single buckets and zones, given to pods without a key."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from coalmine.infra import names
from coalmine.infra.config import Stack
from coalmine.infra.handover import ACCOUNTS
from parts.contracts import inner
from parts.eks.network import statement, trust

READ, WRITE = ["s3:GetObject"], ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
# Component, bucket, actions on its objects. The judge reads what was predicted; it writes nothing there.
ON_BUCKETS = (
    ("mlflow", "artifacts", WRITE),
    ("airflow", "lake", WRITE),
    ("airflow", "artifacts", WRITE),
    ("judge", "lake", READ),
)
DISK_KEY = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"]
AUTOSCALER = ("kube-system", "cluster-autoscaler")


@dataclass(frozen=True, slots=True)
class IdentitiesArgs:
    stack: Stack
    cluster: pulumi.Output[str]
    lake: pulumi.Output[str]
    artifacts: pulumi.Output[str]
    key: pulumi.Output[str]
    zone: pulumi.Output[str]


class Identities(pulumi.ComponentResource):
    """Roles and their associations: a pod gets its credentials from EKS, its service account needs no annotation."""

    def __init__(self, name: str, args: IdentitiesArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("coalmine:eks:Identities", name, None, opts)
        roles = {component: self._role(component, account, args) for component, account in ACCOUNTS.items()}
        roles["autoscaler"] = self._role("autoscaler", AUTOSCALER, args)
        for component, bucket, actions in ON_BUCKETS:
            self._on_bucket(component, bucket, actions, roles[component], args)
        records = ["route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"]
        self._may(
            f"{args.stack.name}-cert-manager",
            roles["cert-manager"],
            args.zone.apply(lambda arn: statement(records, [arn])),
        )
        changes = pulumi.Output.from_input(statement(["route53:GetChange"], ["arn:aws:route53:::change/*"]))
        self._may(f"{args.stack.name}-cert-manager-changes", roles["cert-manager"], changes)
        self._autoscaler(roles["autoscaler"], args)
        self._disks(args)
        self.register_outputs({})

    def _disks(self, args: IdentitiesArgs) -> None:
        """What makes volumes for claims; its role is the add-on's own association."""
        called = f"{args.stack.name}-disks"
        role = aws.iam.Role(
            called,
            name=names.fit(f"coalmine-{called}", names.ROLE),
            assume_role_policy=trust("pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession"),
            tags=dict(args.stack.labels),
            opts=inner(self),
        )
        managed = "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
        aws.iam.RolePolicyAttachment(called, role=role.name, policy_arn=managed, opts=inner(self))
        self._may(f"{called}-key", role, args.key.apply(lambda arn: statement(DISK_KEY, [arn])))
        account = aws.eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account="ebs-csi-controller-sa")
        aws.eks.Addon(
            called,
            cluster_name=args.cluster,
            addon_name="aws-ebs-csi-driver",
            pod_identity_associations=[account],
            resolve_conflicts_on_update="OVERWRITE",
            opts=inner(self),
        )

    def _role(self, component: str, account: tuple[str, str], args: IdentitiesArgs) -> aws.iam.Role:
        stack = args.stack
        called = f"{stack.name}-{component}"
        role = aws.iam.Role(
            called,
            name=names.fit(f"coalmine-{called}", names.ROLE),
            assume_role_policy=trust("pods.eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession"),
            tags=dict(stack.labels),
            opts=inner(self),
        )
        aws.eks.PodIdentityAssociation(
            called,
            cluster_name=args.cluster,
            namespace=account[0],
            service_account=account[1],
            role_arn=role.arn,
            opts=inner(self),
        )
        return role

    def _on_bucket(
        self, component: str, bucket: str, actions: list[str], role: aws.iam.Role, args: IdentitiesArgs
    ) -> None:
        called = f"{args.stack.name}-{component}-{bucket}"
        place = (args.lake if bucket == "lake" else args.artifacts).apply(lambda name: f"arn:aws:s3:::{name}")
        self._may(f"{called}-objects", role, place.apply(lambda arn: statement(actions, [f"{arn}/*"])))
        self._may(f"{called}-list", role, place.apply(lambda arn: statement(["s3:ListBucket"], [arn])))
        use = ["kms:Decrypt"] if actions is READ else ["kms:Decrypt", "kms:GenerateDataKey"]
        self._may(f"{called}-key", role, args.key.apply(lambda arn: statement(use, [arn])))

    def _autoscaler(self, role: aws.iam.Role, args: IdentitiesArgs) -> None:
        """It may look at all groups, since looking cannot be limited, and change this cluster's."""
        look = [
            "autoscaling:DescribeAutoScalingGroups",
            "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeLaunchConfigurations",
            "autoscaling:DescribeScalingActivities",
            "autoscaling:DescribeTags",
            "ec2:DescribeImages",
            "ec2:DescribeInstanceTypes",
            "ec2:DescribeLaunchTemplateVersions",
            "ec2:GetInstanceTypesFromInstanceRequirements",
            "eks:DescribeNodegroup",
        ]
        self._may(f"{args.stack.name}-autoscaler-look", role, pulumi.Output.from_input(statement(look, ["*"])))
        change = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]

        def own(cluster: str) -> str:
            tagged: dict[str, object] = {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster}": "owned"}
            groups = f"arn:aws:autoscaling:{args.stack.region}:{args.stack.account}:autoScalingGroup:*"
            return statement(change, [groups], {"StringEquals": tagged})

        self._may(f"{args.stack.name}-autoscaler-change", role, args.cluster.apply(own))

    def _may(self, called: str, role: aws.iam.Role, policy: pulumi.Output[str]) -> None:
        aws.iam.RolePolicy(called, role=role.id, policy=policy, opts=inner(self))
