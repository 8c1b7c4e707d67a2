"""NetworkPolicies evaluated over pods, as a CNI that enforces them would: what no policy selects is open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from coalmine.lint.objects import Obj, Pod
from coalmine.lint.tree import items, mapping, maps, selects

if TYPE_CHECKING:
    from coalmine.lint.estate import Estate


def selecting(estate: Estate, pod: Pod, direction: str) -> list[Obj]:
    """The policies that hold for a pod in a direction, "Ingress" or "Egress"."""
    return [
        policy
        for policy in estate.kind("NetworkPolicy")
        if policy.namespace == pod.namespace
        and direction in directions(policy)
        and selects(mapping(policy.data, "spec", "podSelector"), pod.labels)
    ]


def directions(policy: Obj) -> list[str]:
    """As given, else ingress and, where there are egress rules, egress."""
    given = [str(one) for one in items(policy.data, "spec", "policyTypes")]
    return given or ["Ingress", *(["Egress"] if policy.at("spec", "egress") is not None else [])]


def refused(estate: Estate, source: Pod, target: Pod, port: int) -> tuple[Obj, str] | None:
    """A policy that keeps TCP from `source` to a port of `target`, and its side; None where all let it pass."""
    for direction, of, peer in (("Egress", source, target), ("Ingress", target, source)):
        policies = selecting(estate, of, direction)
        rules = [rule for policy in policies for rule in _rules(policy, direction)]
        if policies and not any(
            _peers(estate, of.namespace, rule, direction, pod=peer) and _ports(rule, port, target) for rule in rules
        ):
            return policies[0], direction.lower()
    return None


def _rules(policy: Obj, direction: str) -> Iterator[Mapping[str, Any]]:
    yield from (rule for _, rule in maps(policy.data, "spec", direction.lower()))


def _peers(estate: Estate, namespace: str, rule: Mapping[str, Any], direction: str, *, pod: Pod) -> bool:
    peers = list(maps(rule, "from" if direction == "Ingress" else "to"))
    return not peers or any(_peer(estate, namespace, peer, pod) for _, peer in peers)


def _peer(estate: Estate, namespace: str, peer: Mapping[str, Any], pod: Pod) -> bool:
    if "ipBlock" in peer:
        return str(mapping(peer, "ipBlock").get("cidr")) in ("0.0.0.0/0", "::/0")
    where = peer.get("namespaceSelector")
    here = pod.namespace == namespace if where is None else selects(where, namespace_labels(estate, pod.namespace))
    return here and selects(peer.get("podSelector") or {}, pod.labels)


def namespace_labels(estate: Estate, name: str) -> Mapping[str, Any]:
    """With the one that Kubernetes adds itself."""
    found = estate.find("Namespace", "", name)
    labels = dict(found.labels) if found else {}
    for app in estate.kind("Application"):
        if not found and app.text("spec", "destination", "namespace") == name:
            labels |= mapping(app.data, "spec", "syncPolicy", "managedNamespaceMetadata", "labels")
    return {"kubernetes.io/metadata.name": name, **labels}


def _ports(rule: Mapping[str, Any], port: int, target: Pod) -> bool:
    ports = list(maps(rule, "ports"))
    return not ports or any(_port(one, port, target) for _, one in ports)


def _port(one: Mapping[str, Any], port: int, target: Pod) -> bool:
    if one.get("protocol", "TCP") != "TCP":
        return False
    wanted = one.get("port")
    if isinstance(wanted, str):
        return target.ports().get(wanted) == port
    last = one.get("endPort", wanted)
    return wanted is None or (isinstance(wanted, int) and isinstance(last, int) and wanted <= port <= last)
