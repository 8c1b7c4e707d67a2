"""From a route or a Canary to its Gateways, and from these to who drives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from coalmine.lint.objects import Obj
from coalmine.lint.tree import Path, maps

if TYPE_CHECKING:
    from coalmine.lint.estate import Estate


def references(obj: Obj) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """`parentRefs` of a route, `gatewayRefs` of a Canary: those that name a Gateway."""
    base: Path = ("spec", "service", "gatewayRefs") if obj.kind == "Canary" else ("spec", "parentRefs")
    for index, reference in maps(obj.data, *base):
        if reference.get("kind", "Gateway") == "Gateway":
            yield (*base, index), reference


def gateway_of(estate: Estate, obj: Obj, reference: Mapping[str, Any]) -> tuple[str, str, Obj | None]:
    """Namespace and name that a reference means, and the Gateway if it is here."""
    namespace, name = str(reference.get("namespace") or obj.namespace), str(reference.get("name", ""))
    return namespace, name, estate.find("Gateway", namespace, name)


def parents(estate: Estate, obj: Obj) -> Iterator[Obj]:
    """The Gateways that are here."""
    for _, reference in references(obj):
        gateway = gateway_of(estate, obj, reference)[2]
        if gateway is not None:
            yield gateway


def class_of(estate: Estate, gateway: Obj) -> str:
    """The controller's name of a Gateway's class; empty where the class is not here."""
    found = estate.find("GatewayClass", "", gateway.text("spec", "gatewayClassName"))
    return found.text("spec", "controllerName") if found else ""


def listeners(gateway: Obj, reference: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those that a reference means: all, or the ones of a section or a port."""
    section, port = reference.get("sectionName"), reference.get("port")
    return [
        one
        for _, one in maps(gateway.data, "spec", "listeners")
        if (section is None or one.get("name") == section) and (port is None or one.get("port") == port)
    ]
