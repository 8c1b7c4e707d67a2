"""A network of its own: nodes without public addresses, egress through one NAT, a private line to managed services."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from coalmine.infra.config import Stack
from parts.contracts import inner

NODES, PODS, SERVICES = "10.64.0.0/20", "10.68.0.0/14", "10.72.0.0/20"  # 4,000 nodes, 1,000 of 110 pods, 4,000 services


@dataclass(frozen=True, slots=True)
class NetworkArgs:
    stack: Stack


class Network(pulumi.ComponentResource):
    """Outputs: `id` of the network, `subnet` of the nodes."""

    id: pulumi.Output[str]
    subnet: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs) -> None:
        super().__init__("coalmine:gke:Network", name)
        stack = args.stack
        network = gcp.compute.Network(
            name, project=stack.project, auto_create_subnetworks=False, routing_mode="REGIONAL", opts=inner(self)
        )
        subnet = self._subnet(name, stack, network)
        self._egress(name, stack, network, subnet)
        reserved = gcp.compute.GlobalAddress(
            f"{name}-services",
            project=stack.project,
            network=network.id,
            purpose="VPC_PEERING",
            address_type="INTERNAL",
            prefix_length=20,
            labels=dict(stack.labels),
            opts=inner(self),
        )
        gcp.servicenetworking.Connection(
            f"{name}-services",
            network=network.id,
            service="servicenetworking.googleapis.com",
            reserved_peering_ranges=[reserved.name],
            opts=inner(self),
        )
        self.id, self.subnet = network.id, subnet.id
        self.register_outputs({"id": self.id, "subnet": self.subnet})

    def _subnet(self, name: str, stack: Stack, network: gcp.compute.Network) -> gcp.compute.Subnetwork:
        return gcp.compute.Subnetwork(
            name,
            project=stack.project,
            region=stack.region,
            network=network.id,
            ip_cidr_range=NODES,
            private_ip_google_access=True,  # images and buckets without the NAT
            secondary_ip_ranges=[
                gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name="pods", ip_cidr_range=PODS),
                gcp.compute.SubnetworkSecondaryIpRangeArgs(range_name="services", ip_cidr_range=SERVICES),
            ],
            log_config=gcp.compute.SubnetworkLogConfigArgs(
                aggregation_interval="INTERVAL_5_MIN",
                flow_sampling=0.1,  # one flow in ten shows who talks to whom; all would cost as much as a node
                metadata="INCLUDE_ALL_METADATA",
            ),
            opts=inner(self),
        )

    def _egress(self, name: str, stack: Stack, network: gcp.compute.Network, subnet: gcp.compute.Subnetwork) -> None:
        router = gcp.compute.Router(
            name, project=stack.project, region=stack.region, network=network.id, opts=inner(self)
        )
        gcp.compute.RouterNat(
            name,
            project=stack.project,
            region=stack.region,
            router=router.name,
            nat_ip_allocate_option="AUTO_ONLY",
            source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
            subnetworks=[
                gcp.compute.RouterNatSubnetworkArgs(name=subnet.id, source_ip_ranges_to_nats=["ALL_IP_RANGES"])
            ],
            log_config=gcp.compute.RouterNatLogConfigArgs(enable=True, filter="ERRORS_ONLY"),
            opts=inner(self),
        )
