"""Keys that the account owns: for the cluster's Secrets, for logs, for data on disks, in buckets and in databases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from coalmine.infra.config import Stack
from parts.contracts import kept

PURPOSES = ("cluster", "logs", "data")


@dataclass(frozen=True, slots=True)
class KeysArgs:
    stack: Stack


class Keys(pulumi.ComponentResource):
    """Outputs: the ARNs of three keys."""

    cluster: pulumi.Output[str]
    logs: pulumi.Output[str]
    data: pulumi.Output[str]

    def __init__(self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("coalmine:eks:Keys", name, None, opts)
        self.cluster, self.logs, self.data = (self._key(name, purpose, args.stack) for purpose in PURPOSES)
        self.register_outputs({"cluster": self.cluster, "logs": self.logs, "data": self.data})

    def _key(self, name: str, purpose: str, stack: Stack) -> pulumi.Output[str]:
        key = aws.kms.Key(
            f"{name}-{purpose}",
            description=f"{purpose} of {stack.name}",
            enable_key_rotation=True,
            deletion_window_in_days=30,  # the longest: what it encrypted is lost with it
            policy=_policy(stack, purpose),
            opts=kept(self),
        )
        aws.kms.Alias(f"{name}-{purpose}", name=f"alias/{name}-{purpose}", target_key_id=key.key_id, opts=kept(self))
        arn: pulumi.Output[str] = key.arn
        return arn


def _policy(stack: Stack, purpose: str) -> str:
    """The account's administrators, by IAM; besides them the service that works without a role of ours."""
    root: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{stack.account}:root"},
        "Action": "kms:*",
    }
    statements: list[dict[str, Any]] = [root | {"Resource": "*"}]
    use = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    if purpose == "logs":
        allowed: dict[str, Any] = {
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{stack.region}.amazonaws.com"},
            "Action": use,
        }
        only = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{stack.region}:{stack.account}:*"}}
        statements.append(allowed | {"Resource": "*", "Condition": only})
    if purpose == "data":  # nodes' disks are made by the autoscaling service
        linked = (
            f"arn:aws:iam::{stack.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        )
        who: dict[str, Any] = {"Effect": "Allow", "Principal": {"AWS": linked}, "Resource": "*"}
        statements.append(who | {"Action": use})
        only_disks = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        statements.append(who | {"Action": ["kms:CreateGrant"], "Condition": only_disks})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
