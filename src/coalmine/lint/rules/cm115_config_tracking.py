"""CM115: a Secret that is renewed starts a canary each time."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.objects import CONTAINERS, Pod
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import at, mapping, maps

_OFF = "flagger.app/config-tracking"
_RENEWED_BY = {
    "Certificate": ("spec", "secretTemplate", "annotations"),
    "ExternalSecret": ("spec", "target", "template", "metadata", "annotations"),
}


def check(estate: Estate) -> Iterator[Hit]:
    for canary, pod in estate.canary_pods():
        used = _secrets(pod)
        for maker in estate.kind(*_RENEWED_BY):
            path = _RENEWED_BY[maker.kind]
            name = maker.text("spec", "secretName") or maker.text("spec", "target", "name") or maker.name
            off = str(mapping(maker.data, *path).get(_OFF, ""))
            if maker.namespace == pod.namespace and name in used and not off.startswith("disable"):
                yield maker.hit(path, f"Secret {name} is tracked by Canary {canary.name}")


def _secrets(pod: Pod) -> set[str]:
    """All that Flagger tracks: volumes, projected ones, and variables."""
    found = {str(at(volume, "secret", "secretName")) for _, volume in maps(pod.spec, "volumes")}
    for _, volume in maps(pod.spec, "volumes"):
        found |= {str(at(one, "secret", "name")) for _, one in maps(volume, "projected", "sources")}
    for container in pod.containers(*CONTAINERS):
        found |= {str(at(one, "valueFrom", "secretKeyRef", "name")) for _, one in maps(container.data, "env")}
        found |= {str(at(one, "secretRef", "name")) for _, one in maps(container.data, "envFrom")}
    return found


_MOUNTED = swapped(
    DEPLOYMENT,
    "      containers:",
    "      volumes: [{name: tls, secret: {secretName: sentiment-tls}}]\n      containers:",
)
_CERTIFICATE = """\
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: sentiment, namespace: sentiment}
spec:
  secretName: sentiment-tls
  secretTemplate: {annotations: {flagger.app/config-tracking: disabled}}
  issuerRef: {kind: ClusterIssuer, name: internal}
  dnsNames: [sentiment.example.com]
"""

RULE = Rule(
    id="CM115",
    title="A renewed Secret starts a canary",
    severity=Severity.ERROR,
    reason="Flagger's checksum of the target covers its Secrets and ConfigMaps: a certificate that is renewed at night "
    "begins a canary of a release that nobody made.",
    remedy="Put the annotation `flagger.app/config-tracking: disabled` on the Secret: a Certificate's "
    "`secretTemplate`.",
    source="Flagger 1.44, pkg/canary/config_tracker.go",
    check=check,
    good=together(CANARY, _MOUNTED, _CERTIFICATE),
    bad=together(
        CANARY,
        _MOUNTED,
        swapped(_CERTIFICATE, "  secretTemplate: {annotations: {flagger.app/config-tracking: disabled}}\n", ""),
    ),
)
