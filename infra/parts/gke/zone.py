"""The domain's zone. Its name servers must be entered where the domain was bought: nobody else can."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from coalmine.infra.config import Stack
from parts.contracts import kept


@dataclass(frozen=True, slots=True)
class DnsZoneArgs:
    stack: Stack


class DnsZone(pulumi.ComponentResource):
    """Outputs: `name` of the zone, `name_servers`."""

    name: pulumi.Output[str]
    name_servers: pulumi.Output[object]

    def __init__(self, name: str, args: DnsZoneArgs) -> None:
        super().__init__("coalmine:gke:DnsZone", name)
        stack = args.stack
        zone = gcp.dns.ManagedZone(
            name,
            project=stack.project,
            dns_name=f"{stack.domain}.",
            description=f"models of {stack.name}",
            dnssec_config=gcp.dns.ManagedZoneDnssecConfigArgs(state="on"),
            force_destroy=False,
            labels=dict(stack.labels),
            opts=kept(self),
        )
        self.name, self.name_servers = zone.name, zone.name_servers
        self.register_outputs({"name": self.name})
