"""URLs that name a Service of the cluster, and whether there is one with that port."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from coalmine.lint.objects import Container, Pod
from coalmine.lint.tree import items, maps

if TYPE_CHECKING:
    from coalmine.lint.estate import Estate

_PORTS = {"http": 80, "https": 443, "redis": 6379, "postgresql": 5432, "grpc": 443}
_URL = re.compile(r"\b(?:https?|redis|postgresql|grpc)(?:\+[a-z0-9]+)?://[^\s\"'<>,;|)}\]]+")


@dataclass(frozen=True, slots=True)
class Address:
    """A Service by namespace and name, and the port asked for."""

    namespace: str
    service: str
    port: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


def in_cluster(estate: Estate, url: str, namespace: str) -> Address | None:
    """What a URL names as seen from a namespace; None for a host elsewhere, or one that is not written out."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme.partition("+")[0], 80)
    except ValueError:
        return None
    words = host.split(".")
    if not re.fullmatch(r"[a-z0-9.-]+", host) or words[0].isdigit() or host == "localhost":
        return None
    if words[2:] in (["svc"], ["svc", "cluster", "local"]):
        return Address(words[1], words[0], port)
    if len(words) == 2 and words[1] in namespaces(estate):
        return Address(words[1], words[0], port)
    return Address(namespace, words[0], port) if len(words) == 1 and namespace else None


def namespaces(estate: Estate) -> set[str]:
    """All that anything names."""
    return {obj.namespace for obj in estate.every} | {obj.name for obj in estate.kind("Namespace")}


def unreachable(estate: Estate, address: Address | None) -> str:
    """Why nothing answers there, as far as can be known; empty where something may."""
    if address is None:
        return ""
    service = estate.find("Service", address.namespace, address.service)
    if service is None:
        missing = estate.knows("Service", address.namespace)
        return f"there is no Service {address.namespace}/{address.service}" if missing else ""
    if service.text("spec", "type") == "ExternalName":
        return ""
    ports = [port.get("port") for _, port in maps(service.data, "spec", "ports")]
    if address.port not in ports:
        return f"{service.title} has port {', '.join(map(str, ports)) or 'none'}, not {address.port}"
    return ""


def urls(container: Container) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """URLs in a container's arguments and variables, with their fields."""
    for key in ("command", "args"):
        for index, word in enumerate(items(container.data, key)):
            yield from (((key, index), url) for url in _URL.findall(str(word)))
    for index, one in maps(container.data, "env"):
        yield from ((("env", index, "value"), url) for url in _URL.findall(str(one.get("value", ""))))


def asked(estate: Estate, pod: Pod) -> Iterator[Address]:
    """The Services that a pod's arguments and variables name."""
    for container in pod.lasting():
        for _, url in urls(container):
            address = in_cluster(estate, url, pod.namespace)
            if address is not None:
                yield address
