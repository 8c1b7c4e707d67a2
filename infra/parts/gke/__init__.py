"""Google Kubernetes Engine: network, keys, cluster, pools, stores, identities, in this order."""

from __future__ import annotations

from coalmine.infra import names
from coalmine.infra.config import Stack
from parts.contracts import DATABASES, Cloud, Seed, Stores
from parts.gke.cluster import Cluster, ClusterArgs
from parts.gke.database import Database, DatabaseArgs
from parts.gke.identities import Identities, IdentitiesArgs
from parts.gke.keys import Keys, KeysArgs
from parts.gke.network import Network, NetworkArgs
from parts.gke.pools import Pools, PoolsArgs
from parts.gke.stores import Buckets, BucketsArgs, Registry, RegistryArgs
from parts.gke.zone import DnsZone, DnsZoneArgs

__all__ = ["build"]


def build(stack: Stack, seed: Seed) -> Cloud:
    """A private regional cluster and what it stores in."""
    name = names.fit(f"coalmine-{stack.name}", names.CLUSTER)
    network = Network(name, NetworkArgs(stack))
    keys = Keys(name, KeysArgs(stack))
    cluster = Cluster(name, ClusterArgs(stack, network.id, network.subnet, keys.cluster), after=[keys])
    pools = Pools(name, PoolsArgs(stack, cluster.name, keys.disks), after=[keys])
    buckets = Buckets(name, BucketsArgs(stack, keys.data), after=[keys])
    registry = Registry(name, RegistryArgs(stack, keys.data), after=[keys])
    database = Database(name, DatabaseArgs(stack, network.id, keys.data, seed), after=[keys, network])
    zone = DnsZone(name, DnsZoneArgs(stack))
    identities = Identities(
        name, IdentitiesArgs(stack, buckets.lake, buckets.artifacts, zone.name, registry.id, pools.account)
    )
    return Cloud(
        cluster=cluster.name,
        kubeconfig=cluster.kubeconfig,
        stores=Stores(
            lake=buckets.lake.apply(lambda bucket: f"gs://{bucket}"),
            artifacts=buckets.artifacts.apply(lambda bucket: f"gs://{bucket}"),
            databases=dict.fromkeys(DATABASES, database.host),
            registry=registry.url,
        ),
        dns={"cloudDNS": {"project": stack.project, "hostedZoneName": zone.name}},
        name_servers=zone.name_servers,
        annotations=identities.annotations,
        region=stack.region,
        ready=(pools, identities),
    )
