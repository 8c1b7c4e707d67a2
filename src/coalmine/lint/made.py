"""What controllers will make of the objects in git, as far as seams lead there.

Flagger 1.44 (pkg/canary, pkg/router): `<name>-primary` as a copy of the target with the selector label's value
suffixed, three Services and the HTTPRoute. cert-manager: the Secret of a Certificate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from coalmine.lint.objects import Obj
from coalmine.lint.tree import mapping

if TYPE_CHECKING:
    from coalmine.lint.estate import Estate

SELECTOR_LABELS = ("app", "name", "app.kubernetes.io/name")  # Flagger's flag -selector-labels, as it is by default


def made(estate: Estate) -> Iterator[Obj]:
    """Objects with their maker; those that are in git as well are there twice, and the one in git is found first."""
    for canary in estate.kind("Canary"):
        yield from _of_canary(estate, canary)
    for certificate in estate.kind("Certificate"):
        name = certificate.text("spec", "secretName")
        notes = mapping(certificate.data, "spec", "secretTemplate", "annotations")
        head = {"name": name, "namespace": certificate.namespace, "annotations": notes}
        yield Obj(
            {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": head}, maker=certificate
        )


def service_names(canary: Obj) -> tuple[str, str, str]:
    """Those of the apex, the primary and the canary."""
    apex = canary.text("spec", "service", "name") or canary.text("spec", "targetRef", "name")
    return apex, f"{apex}-primary", f"{apex}-canary"


def selector_label(target: Obj | None) -> tuple[str, str] | None:
    """The label that Flagger tells the arms apart by, and the target's value of it."""
    labels = mapping(target.data if target else {}, "spec", "selector", "matchLabels")
    return next(((key, str(labels[key])) for key in SELECTOR_LABELS if key in labels), None)


def _of_canary(estate: Estate, canary: Obj) -> Iterator[Obj]:
    target = estate.target(canary)
    label = selector_label(target)
    if target is not None and label is not None:
        yield _primary(canary, target, label)
    values = (f"{label[1]}-primary", f"{label[1]}-primary", label[1]) if label else ("", "", "")
    for name, value in zip(service_names(canary), values, strict=True):
        yield _service(canary, name, {label[0]: value} if label else {})
    yield _route(canary)


def _primary(canary: Obj, target: Obj, label: tuple[str, str]) -> Obj:
    spec = dict(mapping(target.data, "spec"))
    template = dict(mapping(spec, "template"))
    metadata = dict(mapping(template, "metadata"))
    other = {label[0]: f"{label[1]}-primary"}
    metadata["labels"] = {**mapping(metadata, "labels"), **other}
    template["metadata"] = metadata
    spec |= {"template": template, "selector": {"matchLabels": other}}
    head = {"name": f"{target.name}-primary", "namespace": target.namespace, "labels": {**target.labels, **other}}
    return Obj({**target.data, "metadata": head, "spec": spec}, maker=canary)


def _service(canary: Obj, name: str, selector: Mapping[str, Any]) -> Obj:
    service = mapping(canary.data, "spec", "service")
    port = {"name": service.get("portName") or "http", "port": service.get("port")}
    port["targetPort"] = service.get("targetPort") or port["port"]
    labels = dict.fromkeys(selector, name)
    head = {"name": name, "namespace": canary.namespace, "labels": labels}
    spec = {"selector": selector, "ports": [port]}
    return Obj({"apiVersion": "v1", "kind": "Service", "metadata": head, "spec": spec}, maker=canary)


def _route(canary: Obj) -> Obj:
    apex, primary, other = service_names(canary)
    service = mapping(canary.data, "spec", "service")
    backends = [{"name": name, "port": service.get("port")} for name in (primary, other)]
    spec = {"parentRefs": service.get("gatewayRefs") or [], "hostnames": service.get("hosts") or []}
    head = {"name": apex, "namespace": canary.namespace}
    data = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": head}
    return Obj({**data, "spec": {**spec, "rules": [{"backendRefs": backends}]}}, maker=canary)
