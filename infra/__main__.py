"""Where Coalmine runs: from a stack's file to a cluster that Argo CD keeps in line with git. A table of contents."""

from __future__ import annotations

import pulumi

from parts import clouds, given
from parts.inside.bridge import Bridge, BridgeArgs
from parts.inside.cluster import connect
from parts.inside.gpus import Accelerators, AcceleratorsArgs
from parts.inside.stores import StoreSecrets, StoreSecretsArgs
from parts.inside.tenant import Tenant, TenantArgs

stack, seed = given.read()  # refused as a whole before anything is made
cloud = clouds.build(stack, seed)
inside = connect(stack, cloud)

tenants = [
    Tenant(tenant.name, TenantArgs(tenant, labels=stack.labels, keep=stack.keep), inside) for tenant in stack.tenants
]
stores = StoreSecrets("stores", StoreSecretsArgs(cloud.stores, seed), inside)
bridge = Bridge("bridge", BridgeArgs(stack, cloud), inside, after=[*tenants, stores])
accelerators = Accelerators("accelerators", AcceleratorsArgs(stack, cloud), inside, after=[bridge])

pulumi.export("cluster", cloud.cluster)
pulumi.export("argocd", bridge.application)
pulumi.export("tenants", [tenant.name for tenant in stack.tenants])
for name, value in cloud.told().items():
    pulumi.export(name, value)
