"""Buckets for the lake and for MLflow's artefacts, and the registry of images. All of them outlive the stack."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from coalmine.infra import names
from coalmine.infra.config import Stack
from parts.contracts import kept

OLD_VERSIONS = 30  # days: how long a deleted or overwritten object can be had back
COLD = 90  # days: an object that old is rarely read


@dataclass(frozen=True, slots=True)
class BucketsArgs:
    stack: Stack
    key: pulumi.Input[str]


class Buckets(pulumi.ComponentResource):
    """Outputs: the names of both buckets."""

    lake: pulumi.Output[str]
    artifacts: pulumi.Output[str]

    def __init__(self, name: str, args: BucketsArgs, *, after: list[pulumi.Resource]) -> None:
        super().__init__("coalmine:gke:Buckets", name)
        self.lake, self.artifacts = (self._bucket(purpose, args, after).name for purpose in ("lake", "artifacts"))
        self.register_outputs({"lake": self.lake, "artifacts": self.artifacts})

    def _bucket(self, purpose: str, args: BucketsArgs, after: list[pulumi.Resource]) -> gcp.storage.Bucket:
        stack = args.stack
        return gcp.storage.Bucket(
            f"{stack.name}-{purpose}",
            name=names.fit(f"{stack.project}-{stack.name}-{purpose}", names.BUCKET),
            project=stack.project,
            location=stack.region,  # a region's bucket lies in several of its zones
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            force_destroy=False,
            versioning=gcp.storage.BucketVersioningArgs(enabled=True),
            encryption=gcp.storage.BucketEncryptionArgs(default_kms_key_name=args.key),
            soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=7 * 86400),
            lifecycle_rules=[
                _rule("Delete", days_since_noncurrent_time=OLD_VERSIONS, with_state="ARCHIVED"),
                _rule("SetStorageClass", storage_class="NEARLINE", age=COLD, matches_storage_classes=["STANDARD"]),
                _rule("AbortIncompleteMultipartUpload", age=7),
            ],
            labels=dict(stack.labels),
            opts=kept(self, after=after),
        )


def _rule(action: str, *, storage_class: str | None = None, **condition: object) -> gcp.storage.BucketLifecycleRuleArgs:
    return gcp.storage.BucketLifecycleRuleArgs(
        action=gcp.storage.BucketLifecycleRuleActionArgs(type=action, storage_class=storage_class),
        condition=gcp.storage.BucketLifecycleRuleConditionArgs(**condition),
    )


@dataclass(frozen=True, slots=True)
class RegistryArgs:
    stack: Stack
    key: pulumi.Input[str]


class Registry(pulumi.ComponentResource):
    """Outputs: `url` that images are pushed to, `id` of the repository."""

    url: pulumi.Output[str]
    id: pulumi.Output[str]

    def __init__(self, name: str, args: RegistryArgs, *, after: list[pulumi.Resource]) -> None:
        super().__init__("coalmine:gke:Registry", name)
        stack = args.stack
        repository = gcp.artifactregistry.Repository(
            name,
            project=stack.project,
            location=stack.region,
            repository_id=name,
            format="DOCKER",
            kms_key_name=args.key,
            docker_config=gcp.artifactregistry.RepositoryDockerConfigArgs(immutable_tags=True),  # releases name digests
            labels=dict(stack.labels),
            opts=kept(self, after=after),
        )
        self.id = repository.repository_id
        self.url = repository.repository_id.apply(lambda one: f"{stack.region}-docker.pkg.dev/{stack.project}/{one}")
        self.register_outputs({"url": self.url})
