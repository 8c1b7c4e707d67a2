"""What must hold of every stack, looked for in what its program registers. Each rule is a function and says why.

These are checks of intent: they read what the program asks for. A cloud's own policy service, with the same rules,
would also refuse what somebody makes by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from coalmine.infra.config import ZONES
from coalmine.infra.rehearsal import Rehearsal, Resource


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, with which resource, and what to do."""

    rule: str
    resource: str
    what: str
    remedy: str


Rule = Callable[[Rehearsal], Iterator[Finding]]
_HOLDS_DATA = {
    "gcp:storage/bucket:Bucket",
    "gcp:sql/databaseInstance:DatabaseInstance",
    "gcp:sql/database:Database",
    "gcp:kms/cryptoKey:CryptoKey",
    "gcp:artifactregistry/repository:Repository",
    "gcp:dns/managedZone:ManagedZone",
    "aws:s3/bucket:Bucket",
    "aws:rds/instance:Instance",
    "aws:kms/key:Key",
    "aws:ecr/repository:Repository",
    "aws:route53/zone:Zone",
}
# Where a resource says what it costs for. Amazon's provider adds the tags to all that it makes.
_LABELS = {
    "gcp:container/cluster:Cluster": "resourceLabels",
    "gcp:container/nodePool:NodePool": "nodeConfig.resourceLabels",
    "gcp:storage/bucket:Bucket": "labels",
    "gcp:sql/databaseInstance:DatabaseInstance": "settings.userLabels",
    "gcp:artifactregistry/repository:Repository": "labels",
    "gcp:kms/cryptoKey:CryptoKey": "labels",
    "gcp:dns/managedZone:ManagedZone": "labels",
    "pulumi:providers:aws": "defaultTags.tags",
}
_WIDE_ROLES = (
    "roles/owner",
    "roles/editor",
    "roles/viewer",
    "roles/storage.admin",
    "roles/iam.",
    "roles/cloudkms.admin",
)


def at(value: Any, path: str) -> Any:
    """`a.0.b` of nested mappings and lists; None where it is not."""
    for key in path.split("."):
        if isinstance(value, str) and value[:1] in "{[":
            value = json.loads(value)  # a provider's own inputs travel as JSON
        if isinstance(value, list) and key.isdigit():
            value = value[int(key)] if int(key) < len(value) else None
        elif isinstance(value, Mapping):
            value = value.get(key)
        else:
            return None
    return json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value


# Type, where its zones or subnets stand.
_SPREAD = (
    ("gcp:container/cluster:Cluster", "nodeLocations"),
    ("gcp:container/nodePool:NodePool", "nodeLocations"),
    ("aws:eks/nodeGroup:NodeGroup", "subnetIds"),
    ("aws:eks/cluster:Cluster", "vpcConfig.subnetIds"),
)


def zones(run: Rehearsal) -> Iterator[Finding]:
    """Control plane and nodes in three zones; databases in two, which is all that the services have."""
    for kind, path in _SPREAD:
        for one in run.of(kind):
            if len(set(at(one.inputs, path) or ())) < ZONES:
                yield _found("zones", one, f"in fewer than {ZONES} zones", "name three under zones")
    for one in run.of("gcp:container/cluster:Cluster") + run.of("gcp:container/nodePool:NodePool"):
        if str(at(one.inputs, "location")).count("-") != 1:
            yield _found("zones", one, f"{at(one.inputs, 'location')} is no region", "location is the region")
    for kind, path, wanted in (
        ("gcp:sql/databaseInstance:DatabaseInstance", "settings.availabilityType", "REGIONAL"),
        ("aws:rds/instance:Instance", "multiAz", True),
    ):
        yield from _switched(run, "zones", kind, (path, wanted), "in one zone")


def no_public_api(run: Rehearsal) -> Iterator[Finding]:
    """The API server is reached from inside, and from operators' networks if there are any; nodes have no address."""
    for one in run.of("gcp:container/cluster:Cluster"):
        blocks = at(one.inputs, "masterAuthorizedNetworksConfig.cidrBlocks")
        closed = at(one.inputs, "privateClusterConfig.enablePrivateEndpoint") is True
        if blocks is None or _open([block["cidrBlock"] for block in blocks], closed=closed):
            yield _found("no-public-api", one, "the API is open to everybody", "list operators' networks")
    for one in run.of("aws:eks/cluster:Cluster"):
        closed = at(one.inputs, "vpcConfig.endpointPublicAccess") is False
        if _open(at(one.inputs, "vpcConfig.publicAccessCidrs") or [], closed=closed):
            yield _found("no-public-api", one, "the API is open to everybody", "list operators' networks")
    for kind, path, wanted in (
        ("gcp:container/cluster:Cluster", "privateClusterConfig.enablePrivateNodes", True),
        ("aws:ec2/subnet:Subnet", "mapPublicIpOnLaunch", False),
        ("gcp:sql/databaseInstance:DatabaseInstance", "settings.ipConfiguration.ipv4Enabled", False),
        ("aws:rds/instance:Instance", "publiclyAccessible", False),
    ):
        yield from _switched(run, "no-public-api", kind, (path, wanted), "has public addresses")


def _open(allowed: list[str], *, closed: bool) -> bool:
    return (not closed and not allowed) or any(_wide(text) for text in allowed)


def _switched(run: Rehearsal, rule: str, kind: str, wanted: tuple[str, object], what: str) -> Iterator[Finding]:
    """Those of a kind in which a switch does not stand as it must."""
    for one in run.of(kind):
        if at(one.inputs, wanted[0]) != wanted[1]:
            yield _found(rule, one, what, f"{wanted[0]}: {wanted[1]}")


# Type, where its key or switch stands, what it must be (None: anything).
_ENCRYPTED: tuple[tuple[str, str, object], ...] = (
    ("gcp:container/cluster:Cluster", "databaseEncryption.keyName", None),
    ("gcp:container/nodePool:NodePool", "nodeConfig.bootDiskKmsKey", None),
    ("gcp:storage/bucket:Bucket", "encryption.defaultKmsKeyName", None),
    ("gcp:sql/databaseInstance:DatabaseInstance", "encryptionKeyName", None),
    ("gcp:artifactregistry/repository:Repository", "kmsKeyName", None),
    ("aws:eks/cluster:Cluster", "encryptionConfig.provider.keyArn", None),
    ("aws:ec2/launchTemplate:LaunchTemplate", "blockDeviceMappings.0.ebs.kmsKeyId", None),
    ("aws:rds/instance:Instance", "storageEncrypted", True),
    ("aws:rds/instance:Instance", "kmsKeyId", None),
    ("aws:ecr/repository:Repository", "encryptionConfigurations.0.kmsKey", None),
    ("aws:cloudwatch/logGroup:LogGroup", "kmsKeyId", None),
    ("aws:kms/key:Key", "enableKeyRotation", True),
    ("gcp:kms/cryptoKey:CryptoKey", "rotationPeriod", None),
)


def encryption(run: Rehearsal) -> Iterator[Finding]:
    """Everything at rest under keys of one's own, which turn over."""
    for kind, path, wanted in _ENCRYPTED:
        for one in run.of(kind):
            value = at(one.inputs, path)
            if value in (None, "", False) or (wanted is not None and value != wanted):
                yield _found("encryption", one, f"{path} is not set", "give it the stack's key")
    for extra in ("BucketServerSideEncryptionConfiguration", "BucketVersioning", "BucketPublicAccessBlock"):
        module = extra[0].lower() + extra[1:]
        covered = {at(other.inputs, "bucket") for other in run.of(f"aws:s3/{module}:{extra}")}
        for one in run.of("aws:s3/bucket:Bucket"):
            if f"{one.name}-id" not in covered:
                yield _found("encryption", one, f"has no {extra}", f"make its {extra}")
    for one in run.of("gcp:storage/bucket:Bucket"):
        if at(one.inputs, "versioning.enabled") is not True or at(one.inputs, "publicAccessPrevention") != "enforced":
            yield _found("encryption", one, "not versioned, or can be made public", "versioning and prevention")


def kept(run: Rehearsal) -> Iterator[Finding]:
    """What holds data is neither deleted nor replaced by a program's change."""
    for one in run.resources:
        if one.type in _HOLDS_DATA and not (one.protect and one.retain):
            yield _found("kept", one, "can be deleted", "options kept(...)")


def labels(run: Rehearsal) -> Iterator[Finding]:
    """Whose it is and who pays, on everything that costs."""
    for kind, path in _LABELS.items():
        for one in run.of(kind):
            missing = [key for key in run.stack.labels if key not in (at(one.inputs, path) or {})]
            if missing:
                yield _found("labels", one, f"lacks {', '.join(missing)}", "give it stack.labels")


def bounded(run: Rehearsal) -> Iterator[Finding]:
    """Every pool has an upper bound, the one of the configuration."""
    most = {pool.name: pool.max for pool in run.stack.pools}
    for kind, path, name in (
        ("gcp:container/nodePool:NodePool", "autoscaling.totalMaxNodeCount", "name"),
        ("aws:eks/nodeGroup:NodeGroup", "scalingConfig.maxSize", "nodeGroupName"),
    ):
        for one in run.of(kind):
            if at(one.inputs, path) != most.get(str(at(one.inputs, name))):
                yield _found("bounded", one, "grows past its configuration", f"set {path}")


def tainted(run: Rehearsal) -> Iterator[Finding]:
    """GPU nodes take only pods that ask for them, and no others carry the taint."""
    gpus = {pool.name for pool in run.stack.gpu}
    for kind, path, label, name in (
        ("gcp:container/nodePool:NodePool", "nodeConfig.taints", "nodeConfig.labels", "name"),
        ("aws:eks/nodeGroup:NodeGroup", "taints", "labels", "nodeGroupName"),
    ):
        for one in run.of(kind):
            marks = {(taint["key"], taint["effect"]) for taint in at(one.inputs, path) or ()}
            wanted = {("nvidia.com/gpu", "NO_SCHEDULE")} if at(one.inputs, name) in gpus else set()
            told = (at(one.inputs, label) or {}).get("nvidia.com/gpu.present") == "true"
            if marks != wanted or told != bool(wanted):
                yield _found("tainted", one, "taint and label are not those of its machines", "nvidia.com/gpu")


def least_rights(run: Rehearsal) -> Iterator[Finding]:
    """No component has a role over a whole project, no policy allows everything, no key leaves the cloud."""
    for one in run.resources:
        role = str(at(one.inputs, "role") or "")
        if one.type.startswith("gcp:") and role.startswith(_WIDE_ROLES) and role != "roles/iam.workloadIdentityUser":
            yield _found("least-rights", one, f"{role} is wide", "a role on one bucket, zone or account")
        if one.type == "gcp:projects/iAMMember:IAMMember" and role != "roles/container.defaultNodeServiceAccount":
            yield _found("least-rights", one, f"{role} on the whole project", "bind it to the resource")
        if one.type in ("gcp:serviceaccount/key:Key", "aws:iam/accessKey:AccessKey"):
            yield _found("least-rights", one, "a key that can be copied", "workload identity")
        if one.type == "aws:iam/rolePolicy:RolePolicy":
            yield from _wide_statements(one)


_LOOKS = ("autoscaling:Describe", "ec2:Describe", "ec2:Get", "eks:Describe")  # cannot be limited to resources


def _wide_statements(one: Resource) -> Iterator[Finding]:
    for said in at(one.inputs, "policy")["Statement"]:
        actions, resources = said["Action"], said["Resource"]
        if any("*" in action for action in actions):
            yield _found("least-rights", one, f"allows {', '.join(actions)}", "name the actions")
        if "*" in resources and not all(action.startswith(_LOOKS) for action in actions):
            yield _found("least-rights", one, "allows it on everything", "name the resources")


def audited(run: Rehearsal) -> Iterator[Finding]:
    """Who asked the API server for what is kept."""
    for one in run.of("gcp:container/cluster:Cluster"):
        kinds = {
            at(item, "logType")
            for audit in run.of("gcp:projects/iAMAuditConfig:IAMAuditConfig")
            for item in at(audit.inputs, "auditLogConfigs")
        }
        if "APISERVER" not in (at(one.inputs, "loggingConfig.enableComponents") or ()) or "DATA_WRITE" not in kinds:
            yield _found("audited", one, "no audit log", "logging_config and IAMAuditConfig")
    for one in run.of("aws:eks/cluster:Cluster"):
        if "audit" not in (at(one.inputs, "enabledClusterLogTypes") or ()):
            yield _found("audited", one, "no audit log", "enabled_cluster_log_types")


def recoverable(run: Rehearsal) -> Iterator[Finding]:
    """Databases can be set back to any second of the last week or more."""
    for one in run.of("gcp:sql/databaseInstance:DatabaseInstance"):
        found = at(one.inputs, "settings.backupConfiguration") or {}
        if found.get("enabled") is not True or found.get("pointInTimeRecoveryEnabled") is not True:
            yield _found("recoverable", one, "no point-in-time recovery", "backup_configuration")
    for one in run.of("aws:rds/instance:Instance"):
        if (at(one.inputs, "backupRetentionPeriod") or 0) < 7:
            yield _found("recoverable", one, "backups of less than a week", "backup_retention_period")


RULES: Mapping[str, Rule] = {
    "zones": zones,
    "no-public-api": no_public_api,
    "encryption": encryption,
    "kept": kept,
    "labels": labels,
    "bounded": bounded,
    "tainted": tainted,
    "least-rights": least_rights,
    "audited": audited,
    "recoverable": recoverable,
}


def check(run: Rehearsal) -> list[Finding]:
    """All findings of all rules."""
    return [finding for rule in RULES.values() for finding in rule(run)]


def _found(rule: str, one: Resource, what: str, remedy: str) -> Finding:
    return Finding(rule, f"{one.type} {one.name}", what, remedy)


def _wide(text: str) -> bool:
    network = ip_network(text)
    return network.prefixlen < (16 if network.version == 4 else 32)
