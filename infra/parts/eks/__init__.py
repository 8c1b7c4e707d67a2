"""Amazon Elastic Kubernetes Service: network, keys, cluster, pools, stores, identities, in this order."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from coalmine.infra import names
from coalmine.infra.config import Stack
from parts.contracts import Cloud, Seed, Stores
from parts.eks.cluster import Cluster, ClusterArgs
from parts.eks.database import Database, DatabaseArgs
from parts.eks.identities import Identities, IdentitiesArgs
from parts.eks.keys import Keys, KeysArgs
from parts.eks.network import Network, NetworkArgs
from parts.eks.pools import Pools, PoolsArgs
from parts.eks.stores import Buckets, BucketsArgs, Registry, RegistryArgs
from parts.eks.zone import DnsZone, DnsZoneArgs

__all__ = ["build"]


def build(stack: Stack, seed: Seed) -> Cloud:
    """A private cluster over all zones and what it stores in. Every resource carries the stack's tags."""
    name = names.fit(f"coalmine-{stack.name}", names.CLUSTER)
    provider = aws.Provider(
        "aws",
        region=stack.region,
        allowed_account_ids=[stack.account],  # wrong credentials make nothing in another account
        default_tags=aws.ProviderDefaultTagsArgs(tags=dict(stack.labels)),
    )
    here = pulumi.ResourceOptions(providers={"aws": provider})
    keys = Keys(name, KeysArgs(stack), here)
    network = Network(name, NetworkArgs(stack, keys.logs), here)
    cluster = Cluster(name, ClusterArgs(stack, network.private, keys.cluster, keys.logs), here)
    pools = Pools(name, PoolsArgs(stack, cluster.name, network.private, keys.data), here)
    buckets = Buckets(name, BucketsArgs(stack, keys.data), here)
    registry = Registry(name, RegistryArgs(stack, keys.data), here)
    database = Database(name, DatabaseArgs(stack, network.id, network.private, cluster.nodes, keys.data, seed), here)
    zone = DnsZone(name, DnsZoneArgs(stack), here)
    identities = Identities(
        name, IdentitiesArgs(stack, cluster.name, buckets.lake, buckets.artifacts, keys.data, zone.arn), here
    )
    return Cloud(
        cluster=cluster.name,
        kubeconfig=cluster.kubeconfig,
        stores=Stores(
            lake=buckets.lake.apply(lambda bucket: f"s3://{bucket}"),
            artifacts=buckets.artifacts.apply(lambda bucket: f"s3://{bucket}"),
            databases=database.hosts,
            registry=registry.url,
        ),
        dns={"route53": {"region": stack.region, "hostedZoneID": zone.id}},
        name_servers=zone.name_servers,
        autoscaler=True,
        device_plugin=True,
        region=stack.region,
        ready=(pools, identities),
    )
