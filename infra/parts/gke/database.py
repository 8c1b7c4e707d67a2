"""PostgreSQL in two zones, without a public address, with backups and every transaction of the last days."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from coalmine.infra.config import Stack
from parts.contracts import DATABASES, Seed, kept

TIER = "db-custom-2-7680"  # the smallest that is not shared with others


@dataclass(frozen=True, slots=True)
class DatabaseArgs:
    stack: Stack
    network: pulumi.Input[str]
    key: pulumi.Input[str]
    seed: Seed


class Database(pulumi.ComponentResource):
    """Output: `host`, a private address."""

    host: pulumi.Output[str]

    def __init__(self, name: str, args: DatabaseArgs, *, after: list[pulumi.Resource]) -> None:
        super().__init__("coalmine:gke:Database", name)
        stack = args.stack
        instance = gcp.sql.DatabaseInstance(
            name,
            project=stack.project,
            region=stack.region,
            database_version="POSTGRES_17",
            encryption_key_name=args.key,
            deletion_protection=True,
            settings=_settings(args),
            opts=kept(self, after=after),
        )
        for database in DATABASES:
            gcp.sql.Database(
                f"{name}-{database}", project=stack.project, instance=instance.name, name=database, opts=kept(self)
            )
            gcp.sql.User(
                f"{name}-{database}",
                project=stack.project,
                instance=instance.name,
                name=database,
                password=args.seed.password(database),
                deletion_policy="ABANDON",  # a user who owns tables cannot be dropped
                opts=kept(self),
            )
        self.host = instance.private_ip_address
        self.register_outputs({"host": self.host})


def _settings(args: DatabaseArgs) -> gcp.sql.DatabaseInstanceSettingsArgs:
    stack = args.stack
    backup = gcp.sql.DatabaseInstanceSettingsBackupConfigurationArgs(
        enabled=True,
        start_time="02:00",
        point_in_time_recovery_enabled=True,
        transaction_log_retention_days=7,  # the most that this edition keeps
        backup_retention_settings=gcp.sql.DatabaseInstanceSettingsBackupConfigurationBackupRetentionSettingsArgs(
            retained_backups=stack.database.backup_days, retention_unit="COUNT"
        ),
    )
    return gcp.sql.DatabaseInstanceSettingsArgs(
        tier=stack.database.tier or TIER,
        edition="ENTERPRISE",
        availability_type="REGIONAL",  # a second one in another zone
        disk_size=stack.database.gib,
        disk_autoresize=True,
        deletion_protection_enabled=True,
        user_labels=dict(stack.labels),
        backup_configuration=backup,
        ip_configuration=gcp.sql.DatabaseInstanceSettingsIpConfigurationArgs(
            ipv4_enabled=False, private_network=args.network, ssl_mode="ENCRYPTED_ONLY"
        ),
    )
