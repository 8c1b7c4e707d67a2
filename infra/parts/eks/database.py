"""PostgreSQL in two zones, without a public address, with backups and every transaction of the last days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from coalmine.infra.config import Stack
from parts.contracts import DATABASES, Seed, inner, kept

CLASS = "db.t4g.small"  # two GiB: enough for one small database
PORT = 5432


@dataclass(frozen=True, slots=True)
class DatabaseArgs:
    stack: Stack
    network: pulumi.Input[str]
    subnets: list[pulumi.Output[str]]
    nodes: pulumi.Input[str]
    key: pulumi.Input[str]
    seed: Seed


class Database(pulumi.ComponentResource):
    """Output: `hosts` by database. One instance for each: Amazon makes no second user, and none waits for another."""

    hosts: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("coalmine:eks:Database", name, None, opts)
        stack = args.stack
        group = aws.rds.SubnetGroup(name, subnet_ids=args.subnets, tags=dict(stack.labels), opts=inner(self))
        reach = aws.ec2.SecurityGroup(
            f"{name}-database",
            description="PostgreSQL, from the nodes only",
            vpc_id=args.network,
            ingress=[
                aws.ec2.SecurityGroupIngressArgs(
                    protocol="tcp", from_port=PORT, to_port=PORT, security_groups=[args.nodes]
                )
            ],
            opts=inner(self),
        )
        settings = aws.rds.ParameterGroup(
            name,
            family="postgres17",
            parameters=[aws.rds.ParameterGroupParameterArgs(name="rds.force_ssl", value="1")],
            opts=inner(self),
        )
        self.hosts = {
            database: aws.rds.Instance(
                f"{name}-{database}",
                db_name=database,
                username=database,
                password=args.seed.password(database),
                **_sizes(stack),
                **_guards(stack, args),
                db_subnet_group_name=group.name,
                vpc_security_group_ids=[reach.id],
                parameter_group_name=settings.name,
                final_snapshot_identifier=f"{name}-{database}-last",
                opts=kept(self),
            ).address
            for database in DATABASES
        }
        self.register_outputs({"hosts": self.hosts})


def _sizes(stack: Stack) -> dict[str, object]:
    return {
        "engine": "postgres",
        "engine_version": "17",
        "auto_minor_version_upgrade": True,
        "instance_class": stack.database.tier or CLASS,
        "allocated_storage": stack.database.gib,
        "max_allocated_storage": 10 * stack.database.gib,
        "storage_type": "gp3",
        "tags": dict(stack.labels),
    }


def _guards(stack: Stack, args: DatabaseArgs) -> dict[str, object]:
    return {
        "multi_az": True,
        "publicly_accessible": False,
        "storage_encrypted": True,
        "kms_key_id": args.key,
        "backup_retention_period": stack.database.backup_days,  # with it, any second of these days can be gone back to
        "backup_window": "02:00-03:00",
        "copy_tags_to_snapshot": True,
        "delete_automated_backups": False,
        "deletion_protection": True,
        "skip_final_snapshot": False,
    }
