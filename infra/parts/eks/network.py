"""A network of its own: nodes in private subnets, one a zone with its own way out: no zone needs another."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from coalmine.infra.config import Stack
from parts.contracts import inner

RANGE = "10.64.0.0/16"
DAYS = 30  # how long flow logs are kept


@dataclass(frozen=True, slots=True)
class NetworkArgs:
    stack: Stack
    key: pulumi.Input[str]


class Network(pulumi.ComponentResource):
    """Outputs: `id`, and the private subnets in the order of the zones."""

    id: pulumi.Output[str]
    private: list[pulumi.Output[str]]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("coalmine:eks:Network", name, None, opts)
        stack = args.stack
        vpc = aws.ec2.Vpc(
            name,
            cidr_block=RANGE,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": name},
            opts=inner(self),
        )
        door = aws.ec2.InternetGateway(name, vpc_id=vpc.id, tags={"Name": name}, opts=inner(self))
        cut = list(ipaddress.ip_network(RANGE).subnets(new_prefix=20))
        outside = self._table(
            f"{name}-public", vpc, aws.ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", gateway_id=door.id)
        )
        tables, self.private = [], []
        for number, zone in enumerate(stack.zones):
            subnet, table = self._zone(zone, vpc, outside, str(cut[number]), str(cut[number + len(stack.zones)]))
            self.private.append(subnet)
            tables.append(table)
        aws.ec2.VpcEndpoint(  # buckets without the NAT
            f"{name}-s3",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{stack.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=tables,
            opts=inner(self),
        )
        self._flows(name, vpc, args)
        self.id = vpc.id
        self.register_outputs({"id": self.id})

    def _table(self, name: str, vpc: aws.ec2.Vpc, route: aws.ec2.RouteTableRouteArgs) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(name, vpc_id=vpc.id, routes=[route], tags={"Name": name}, opts=inner(self))

    def _zone(
        self, zone: str, vpc: aws.ec2.Vpc, outside: aws.ec2.RouteTable, private: str, public: str
    ) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        """The zone's two subnets; returns the private one and its route table."""
        open_one = self._subnet(f"public-{zone}", zone, vpc, public, {"kubernetes.io/role/elb": "1"})
        closed = self._subnet(f"private-{zone}", zone, vpc, private, {"kubernetes.io/role/internal-elb": "1"})
        address = aws.ec2.Eip(zone, domain="vpc", tags={"Name": zone}, opts=inner(self))
        way = aws.ec2.NatGateway(
            zone, allocation_id=address.id, subnet_id=open_one.id, tags={"Name": zone}, opts=inner(self)
        )
        table = self._table(
            f"private-{zone}", vpc, aws.ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", nat_gateway_id=way.id)
        )
        for label, subnet, through in (("public", open_one, outside), ("private", closed, table)):
            aws.ec2.RouteTableAssociation(
                f"{label}-{zone}", subnet_id=subnet.id, route_table_id=through.id, opts=inner(self)
            )
        return closed.id, table.id

    def _subnet(self, name: str, zone: str, vpc: aws.ec2.Vpc, block: str, tags: dict[str, str]) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            name,
            vpc_id=vpc.id,
            availability_zone=zone,
            cidr_block=block,
            map_public_ip_on_launch=False,
            tags={"Name": name, **tags},
            opts=inner(self),
        )

    def _flows(self, name: str, vpc: aws.ec2.Vpc, args: NetworkArgs) -> None:
        group = aws.cloudwatch.LogGroup(f"{name}-flows", retention_in_days=DAYS, kms_key_id=args.key, opts=inner(self))
        role = aws.iam.Role(f"{name}-flows", assume_role_policy=trust("vpc-flow-logs.amazonaws.com"), opts=inner(self))
        actions = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
        aws.iam.RolePolicy(
            f"{name}-flows",
            role=role.id,
            policy=group.arn.apply(lambda arn: statement(actions, [f"{arn}:*"])),
            opts=inner(self),
        )
        aws.ec2.FlowLog(
            name,
            vpc_id=vpc.id,
            traffic_type="REJECT",  # tells of mistakes and intruders; all would cost more than a node
            log_destination=group.arn,
            iam_role_arn=role.arn,
            opts=inner(self),
        )


def trust(service: str, *actions: str) -> str:
    """Who may take a role on: one service of Amazon's."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": service}, "Action": list(actions) or ["sts:AssumeRole"]}
            ],
        }
    )


def statement(actions: list[str], resources: list[str], condition: dict[str, object] | None = None) -> str:
    """A policy that allows these actions on these resources, nothing else."""
    allowed = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [allowed | ({"Condition": condition} if condition else {})],
        }
    )
