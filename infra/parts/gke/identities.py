"""Who may do what in the cloud: an account for each component, on single buckets and zones, without a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from coalmine.infra import names
from coalmine.infra.config import Stack
from coalmine.infra.handover import ACCOUNTS
from parts.contracts import inner

ANNOTATION = "iam.gke.io/gcp-service-account"
# Component, bucket, role. The judge reads what was predicted; it writes nothing there.
ON_BUCKETS = (
    ("mlflow", "artifacts", "roles/storage.objectUser"),
    ("airflow", "lake", "roles/storage.objectUser"),
    ("airflow", "artifacts", "roles/storage.objectUser"),
    ("judge", "lake", "roles/storage.objectViewer"),
)


@dataclass(frozen=True, slots=True)
class IdentitiesArgs:
    stack: Stack
    lake: pulumi.Output[str]
    artifacts: pulumi.Output[str]
    zone: pulumi.Output[str]
    registry: pulumi.Output[str]
    nodes: pulumi.Output[str]


class Identities(pulumi.ComponentResource):
    """Output: `annotations` of the components' service accounts in Kubernetes."""

    annotations: Mapping[str, Mapping[str, pulumi.Output[str]]]

    def __init__(self, name: str, args: IdentitiesArgs) -> None:
        super().__init__("coalmine:gke:Identities", name)
        emails = {component: self._account(component, args) for component in ACCOUNTS}
        for component, bucket, role in ON_BUCKETS:
            gcp.storage.BucketIAMMember(
                f"{args.stack.name}-{component}-{bucket}",
                bucket=args.lake if bucket == "lake" else args.artifacts,
                role=role,
                member=_member(emails[component]),
                opts=inner(self),
            )
        gcp.dns.DnsManagedZoneIamMember(
            f"{args.stack.name}-cert-manager",
            project=args.stack.project,
            managed_zone=args.zone,
            role="roles/dns.admin",  # of this zone alone; there is no smaller one that writes records
            member=_member(emails["cert-manager"]),
            opts=inner(self),
        )
        gcp.artifactregistry.RepositoryIamMember(
            f"{args.stack.name}-nodes",
            project=args.stack.project,
            location=args.stack.region,
            repository=args.registry,
            role="roles/artifactregistry.reader",
            member=_member(args.nodes),
            opts=inner(self),
        )
        self.annotations = {component: {ANNOTATION: email} for component, email in emails.items()}
        self.register_outputs({})

    def _account(self, component: str, args: IdentitiesArgs) -> pulumi.Output[str]:
        stack = args.stack
        account = gcp.serviceaccount.Account(
            f"{stack.name}-{component}",
            project=stack.project,
            account_id=names.fit(f"{stack.name}-{component}", names.SERVICE_ACCOUNT),
            display_name=f"{component} of {stack.name}",
            opts=inner(self),
        )
        namespace, who = ACCOUNTS[component]
        gcp.serviceaccount.IAMMember(
            f"{stack.name}-{component}",
            service_account_id=account.name,
            role="roles/iam.workloadIdentityUser",
            member=f"serviceAccount:{stack.project}.svc.id.goog[{namespace}/{who}]",
            opts=inner(self),
        )
        email: pulumi.Output[str] = account.email
        return email


def _member(email: pulumi.Output[str]) -> pulumi.Output[str]:
    return email.apply(lambda one: f"serviceAccount:{one}")
