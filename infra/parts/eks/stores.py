"""Buckets for the lake and for MLflow's artefacts, and the registry of images. All of them outlive the stack."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from coalmine.infra import names
from coalmine.infra.config import Stack
from parts.contracts import kept

OLD_VERSIONS = 30  # days: how long a deleted or overwritten object can be had back
COLD = 90  # days: an object that old is rarely read
IMAGES = ("coalmine", "mlflow", "nginx")


@dataclass(frozen=True, slots=True)
class BucketsArgs:
    stack: Stack
    key: pulumi.Input[str]


class Buckets(pulumi.ComponentResource):
    """Outputs: the names of both buckets."""

    lake: pulumi.Output[str]
    artifacts: pulumi.Output[str]

    def __init__(self, name: str, args: BucketsArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("coalmine:eks:Buckets", name, None, opts)
        self.lake, self.artifacts = (self._bucket(purpose, args) for purpose in ("lake", "artifacts"))
        self.register_outputs({"lake": self.lake, "artifacts": self.artifacts})

    def _bucket(self, purpose: str, args: BucketsArgs) -> pulumi.Output[str]:
        stack = args.stack
        called = f"{stack.name}-{purpose}"
        bucket = aws.s3.Bucket(
            called,
            bucket=names.fit(f"coalmine-{stack.account}-{called}", names.BUCKET),  # over all of Amazon's customers
            force_destroy=False,
            tags=dict(stack.labels),
            opts=kept(self),
        )
        aws.s3.BucketVersioning(
            called,
            bucket=bucket.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=kept(self),
        )
        by_default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="aws:kms", kms_master_key_id=args.key
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            called,
            bucket=bucket.id,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=by_default,
                    bucket_key_enabled=True,  # one call of the key service for many objects
                )
            ],
            opts=kept(self),
        )
        aws.s3.BucketPublicAccessBlock(
            called,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=kept(self),
        )
        aws.s3.BucketLifecycleConfiguration(called, bucket=bucket.id, rules=_rules(), opts=kept(self))
        aws.s3.BucketPolicy(called, bucket=bucket.id, policy=bucket.arn.apply(_only_tls), opts=kept(self))
        found: pulumi.Output[str] = bucket.bucket
        return found


def _rules() -> list[aws.s3.BucketLifecycleConfigurationRuleArgs]:
    rule = aws.s3.BucketLifecycleConfigurationRuleArgs
    everything = aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix="")
    forget = aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(noncurrent_days=OLD_VERSIONS)
    cool = aws.s3.BucketLifecycleConfigurationRuleTransitionArgs(days=COLD, storage_class="STANDARD_IA")
    abort = aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(days_after_initiation=7)
    return [
        rule(id="old-versions", status="Enabled", filter=everything, noncurrent_version_expiration=forget),
        rule(id="cold", status="Enabled", filter=everything, transitions=[cool]),
        rule(id="broken-uploads", status="Enabled", filter=everything, abort_incomplete_multipart_upload=abort),
    ]


def _only_tls(arn: str) -> str:
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [arn, f"{arn}/*"]}
    plain = {"Bool": {"aws:SecureTransport": "false"}}
    return json.dumps({"Version": "2012-10-17", "Statement": [denied | {"Condition": plain}]})


@dataclass(frozen=True, slots=True)
class RegistryArgs:
    stack: Stack
    key: pulumi.Input[str]


class Registry(pulumi.ComponentResource):
    """Output: `url` that images are pushed to. Amazon wants a repository for each image."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("coalmine:eks:Registry", name, None, opts)
        stack = args.stack
        for image in (*IMAGES, *(tenant.name for tenant in stack.tenants)):
            aws.ecr.Repository(
                f"{stack.name}-{image}",
                name=f"{name}/{image}",
                image_tag_mutability="IMMUTABLE",  # releases name digests
                image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
                encryption_configurations=[
                    aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="KMS", kms_key=args.key)
                ],
                force_delete=False,
                tags=dict(stack.labels),
                opts=kept(self),
            )
        self.url = pulumi.Output.from_input(f"{stack.account}.dkr.ecr.{stack.region}.amazonaws.com/{name}")
        self.register_outputs({"url": self.url})
