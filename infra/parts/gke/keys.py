"""Keys that the project owns: for the cluster's Secrets, for disks, for data. Google's services may only use them."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from coalmine.infra.config import Stack
from parts.contracts import inner, kept

ROTATION = "7776000s"  # 90 days
_USE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
# Who encrypts by which key: agents that Google makes in each project, named by its number.
_AGENTS = {
    "cluster": ("container-engine-robot",),
    "disks": ("compute-system", "container-engine-robot"),
    "data": ("gs-project-accounts", "gcp-sa-artifactregistry", "gcp-sa-cloud-sql"),
}


@dataclass(frozen=True, slots=True)
class KeysArgs:
    stack: Stack


class Keys(pulumi.ComponentResource):
    """Outputs: the ids of three keys, once those that use them may."""

    cluster: pulumi.Output[str]
    disks: pulumi.Output[str]
    data: pulumi.Output[str]

    def __init__(self, name: str, args: KeysArgs) -> None:
        super().__init__("coalmine:gke:Keys", name)
        stack = args.stack
        project = gcp.organizations.get_project_output(project_id=stack.project)
        ring = gcp.kms.KeyRing(name, project=stack.project, location=stack.region, opts=kept(self))
        sql = gcp.projects.ServiceIdentity(
            f"{name}-sql", project=stack.project, service="sqladmin.googleapis.com", opts=inner(self)
        )
        made = {
            purpose: gcp.kms.CryptoKey(
                f"{name}-{purpose}",
                key_ring=ring.id,
                rotation_period=ROTATION,
                purpose="ENCRYPT_DECRYPT",
                labels=dict(stack.labels),
                opts=kept(self),
            )
            for purpose in _AGENTS
        }
        for purpose, agents in _AGENTS.items():
            for agent in agents:
                gcp.kms.CryptoKeyIAMMember(
                    f"{name}-{purpose}-{agent}",
                    crypto_key_id=made[purpose].id,
                    role=_USE,
                    member=_agent(project.number, agent),
                    opts=inner(self, after=[sql]),
                )
        self.cluster, self.disks, self.data = (made[purpose].id for purpose in _AGENTS)
        self.register_outputs({"cluster": self.cluster, "disks": self.disks, "data": self.data})


def _agent(number: pulumi.Output[str], agent: str) -> pulumi.Output[str]:
    return pulumi.Output.concat("serviceAccount:service-", number, f"@{agent}.iam.gserviceaccount.com")
