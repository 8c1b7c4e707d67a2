"""The domain's zone. Its name servers must be entered where the domain was bought: nobody else can."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from coalmine.infra.config import Stack
from parts.contracts import kept


@dataclass(frozen=True, slots=True)
class DnsZoneArgs:
    stack: Stack


class DnsZone(pulumi.ComponentResource):
    """Outputs: `id`, `arn`, `name_servers`."""

    id: pulumi.Output[str]
    arn: pulumi.Output[str]
    name_servers: pulumi.Output[object]

    def __init__(self, name: str, args: DnsZoneArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("coalmine:eks:DnsZone", name, None, opts)
        stack = args.stack
        zone = aws.route53.Zone(
            name,
            name=stack.domain,
            comment=f"models of {stack.name}",
            force_destroy=False,
            tags=dict(stack.labels),
            opts=kept(self),
        )
        self.id, self.arn, self.name_servers = zone.zone_id, zone.arn, zone.name_servers
        self.register_outputs({"id": self.id})
