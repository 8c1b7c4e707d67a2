"""What a cloud gives to what is made inside its cluster, and the options of what holds data."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

DATABASES = ("mlflow", "airflow", "judge")


@dataclass(frozen=True, slots=True)
class Stores:
    """Addresses only: `lake` and `artifacts` are URLs of buckets, `databases` hosts by database. No password."""

    lake: pulumi.Output[str]
    artifacts: pulumi.Output[str]
    databases: Mapping[str, pulumi.Output[str]]
    registry: pulumi.Output[str]


@dataclass(frozen=True, slots=True)
class Cloud:
    """A cluster, made or found. `annotations`: what ties service accounts to identities, by component."""

    cluster: pulumi.Output[str]
    kubeconfig: pulumi.Output[str] | None = None
    stores: Stores | None = None
    dns: Mapping[str, pulumi.Input[object]] = field(default_factory=dict)
    name_servers: pulumi.Output[object] | None = None
    annotations: Mapping[str, Mapping[str, pulumi.Output[str]]] = field(default_factory=dict)
    autoscaler: bool = False  # whether the cluster needs one of its own
    device_plugin: bool = False  # whether NVIDIA's plugin must be brought
    region: str = ""
    ready: tuple[pulumi.Resource, ...] = ()  # what must stand before anything inside does

    def told(self) -> dict[str, pulumi.Output[object]]:
        """The stack's outputs: what a person needs next. Nothing here is secret."""
        found: dict[str, pulumi.Output[object]] = {}
        if self.stores is not None:
            found |= {"lake": _any(self.stores.lake), "artifacts": _any(self.stores.artifacts)}
            found["registry"] = _any(self.stores.registry)
            found["databases"] = pulumi.Output.from_input(dict(self.stores.databases)).apply(lambda hosts: hosts)
        if self.name_servers is not None:
            found["nameServers"] = self.name_servers
        return found


def _any(value: pulumi.Output[str]) -> pulumi.Output[object]:
    return value.apply(lambda text: text)


@dataclass(frozen=True, slots=True)
class Seed:
    """The one secret of a stack. All others follow from it, so that a second run makes the same ones."""

    secret: pulumi.Output[str]

    def password(self, of: str) -> pulumi.Output[str]:
        """Letters and digits only: it stands in URLs. Marked secret, as all that is made of it."""
        return pulumi.Output.secret(self.secret.apply(lambda seed: _derived(seed, of).hex()[:40]))

    def key(self, of: str) -> pulumi.Output[str]:
        """32 bytes in URL-safe base64, as Fernet wants them."""
        return pulumi.Output.secret(
            self.secret.apply(lambda seed: base64.urlsafe_b64encode(_derived(seed, of)).decode("ascii"))
        )


def _derived(seed: str, of: str) -> bytes:
    return hmac.new(seed.encode(), f"coalmine/{of}".encode(), hashlib.sha256).digest()


def inner(parent: pulumi.Resource, *, after: list[pulumi.Resource] | None = None) -> pulumi.ResourceOptions:
    """For what may be made again."""
    return pulumi.ResourceOptions(parent=parent, depends_on=after or [])


def kept(parent: pulumi.Resource, *, after: list[pulumi.Resource] | None = None) -> pulumi.ResourceOptions:
    """For what holds data: not deleted by a changed program, and left where it is when the stack goes."""
    return pulumi.ResourceOptions(parent=parent, depends_on=after or [], protect=True, retain_on_delete=True)
