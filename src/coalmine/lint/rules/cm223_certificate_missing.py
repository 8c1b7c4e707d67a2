"""CM223: a listener's certificate is made by nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from coalmine.lint.estate import Estate
from coalmine.lint.examples import GATEWAY, together
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import items, maps


def check(estate: Estate) -> Iterator[Hit]:
    for gateway in estate.kind("Gateway"):
        for index, listener in maps(gateway.data, "spec", "listeners"):
            for place, reference in maps(listener, "tls", "certificateRefs"):
                namespace, name = str(reference.get("namespace") or gateway.namespace), str(reference.get("name"))
                made = estate.find("Secret", namespace, name)
                certified = any(one.namespace == namespace for one in estate.kind("Certificate"))
                if made is None and certified and not gateway.annotations.get("cert-manager.io/cluster-issuer"):
                    path = ("spec", "listeners", index, "tls", "certificateRefs", place)
                    yield gateway.hit(path, f"no Certificate of {namespace} makes Secret {name}")
                elif made is not None and made.maker is not None and not _named(made.maker, listener):
                    yield gateway.hit(
                        ("spec", "listeners", index, "hostname"),
                        f"{listener.get('hostname')} is not in {made.maker.title}",
                    )


def _named(certificate: Obj, listener: Mapping[str, Any]) -> bool:
    host = str(listener.get("hostname") or "")
    names = [str(name) for name in items(certificate.data, "spec", "dnsNames")]
    return not host or host in names or "*." + host.partition(".")[2] in names


_CERTIFICATE = """\
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: gateway, namespace: coalmine}
spec:
  secretName: gateway-tls
  issuerRef: {kind: ClusterIssuer, name: letsencrypt}
  dnsNames: ["*.example.com"]
"""
_TLS = swapped(GATEWAY, "      port: 443\n", "      port: 443\n      tls: {certificateRefs: [{name: gateway-tls}]}\n")

RULE = Rule(
    id="CM223",
    title="Listener without a certificate",
    severity=Severity.ERROR,
    reason="A listener whose Secret is not there, or whose certificate has another name, serves nobody.",
    remedy="Let `certificateRefs` name the Certificate's `secretName`, and `dnsNames` hold the listener's hostname.",
    source="Gateway API, GatewayTLSConfig.certificateRefs; cert-manager, Certificate",
    check=check,
    good=together(_TLS, _CERTIFICATE),
    bad=together(_TLS, swapped(_CERTIFICATE, "secretName: gateway-tls", "secretName: gateway")),
)
