"""The control plane: in all zones, reached by operators only, its Secrets under a key of ours, every log of it kept."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from coalmine.infra.config import Stack
from parts.contracts import inner
from parts.eks.network import trust

LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
DAYS = 90  # how long the audit log is kept
# By name: EKS chooses the version that goes with the cluster's. The rest of its configuration is its default.
ADDONS: dict[str, dict[str, object]] = {
    "vpc-cni": {"enableNetworkPolicy": "true"},
    "kube-proxy": {},
    "eks-pod-identity-agent": {},
}


@dataclass(frozen=True, slots=True)
class ClusterArgs:
    stack: Stack
    subnets: list[pulumi.Output[str]]
    key: pulumi.Input[str]
    logs: pulumi.Input[str]


class Cluster(pulumi.ComponentResource):
    """Outputs: `name`, `nodes` (the nodes' security group), and a `kubeconfig` without a credential."""

    name: pulumi.Output[str]
    nodes: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("coalmine:eks:Cluster", name, None, opts)
        stack = args.stack
        group = aws.cloudwatch.LogGroup(
            name,
            name=f"/aws/eks/{name}/cluster",  # where EKS writes, with or without us
            retention_in_days=DAYS,
            kms_key_id=args.logs,
            opts=inner(self),
        )
        role = aws.iam.Role(
            f"{name}-cluster",
            assume_role_policy=trust("eks.amazonaws.com", "sts:AssumeRole", "sts:TagSession"),
            opts=inner(self),
        )
        may = aws.iam.RolePolicyAttachment(
            f"{name}-cluster",
            role=role.name,
            policy_arn="arn:aws:iam::aws:policy/AmazonEKSClusterPolicy",
            opts=inner(self),
        )
        cluster = aws.eks.Cluster(
            name,
            name=name,
            role_arn=role.arn,
            **_settings(stack, args),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[group, may], protect=True),
        )
        for addon, values in ADDONS.items():
            aws.eks.Addon(
                f"{name}-{addon}",
                cluster_name=cluster.name,
                addon_name=addon,
                configuration_values=json.dumps(values) if values else None,
                resolve_conflicts_on_create="OVERWRITE",  # takes over what EKS made at first
                resolve_conflicts_on_update="OVERWRITE",
                opts=inner(self),
            )
        self.name = cluster.name
        self.nodes = cluster.vpc_config.cluster_security_group_id
        self.kubeconfig = pulumi.Output.all(cluster.name, cluster.endpoint, cluster.certificate_authority.data).apply(
            lambda found: kubeconfig(*found, region=stack.region)
        )
        self.register_outputs({"name": self.name})


def _settings(stack: Stack, args: ClusterArgs) -> dict[str, object]:
    """Without operators there is no public end at all."""
    return {
        "vpc_config": aws.eks.ClusterVpcConfigArgs(
            subnet_ids=args.subnets,
            endpoint_private_access=True,
            endpoint_public_access=bool(stack.operators),
            public_access_cidrs=list(stack.operators) or None,
        ),
        "access_config": aws.eks.ClusterAccessConfigArgs(
            authentication_mode="API", bootstrap_cluster_creator_admin_permissions=True
        ),
        "encryption_config": aws.eks.ClusterEncryptionConfigArgs(
            provider=aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=args.key), resources=["secrets"]
        ),
        "enabled_cluster_log_types": list(LOGS),
        "deletion_protection": True,
        "bootstrap_self_managed_addons": True,  # CoreDNS from the first minute; the others are addons below
    }


def kubeconfig(name: str, endpoint: str, authority: str, *, region: str) -> str:
    """JSON is YAML. `aws` asks for a token at each use."""
    words = ["eks", "get-token", "--cluster-name", name, "--region", region]
    user = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws",
        "args": words,
        "interactiveMode": "Never",
    }
    server = endpoint if "://" in endpoint else f"https://{endpoint}"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "users": [{"name": name, "user": {"exec": user}}],
        }
    )
