"""CM212: the name that the gateway wants of the pods is not in their certificate."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.made import service_names
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import items, mapping, maps


def check(estate: Estate) -> Iterator[Hit]:
    for canary, pod in estate.canary_pods():
        secrets = {str(mapping(volume, "secret").get("secretName")) for _, volume in maps(pod.spec, "volumes")}
        names = {
            str(name)
            for certificate in estate.kind("Certificate")
            if certificate.namespace == pod.namespace and certificate.text("spec", "secretName") in secrets
            for name in items(certificate.data, "spec", "dnsNames")
        }
        for policy in estate.kind("BackendTLSPolicy"):
            wanted = policy.text("spec", "validation", "hostname")
            targets = {str(ref.get("name")) for _, ref in maps(policy.data, "spec", "targetRefs")}
            mine = policy.namespace == canary.namespace and targets & set(service_names(canary))
            if mine and names and wanted not in names:
                yield policy.hit(("spec", "validation", "hostname"), f"{wanted} is none of {', '.join(sorted(names))}")


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
_POLICY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: sentiment, namespace: sentiment}
spec:
  targetRefs:
    - {group: "", kind: Service, name: sentiment-primary}
    - {group: "", kind: Service, name: sentiment-canary}
  validation: {hostname: sentiment.example.com, wellKnownCACertificates: System}
"""

RULE = Rule(
    id="CM212",
    title="Name that the certificate does not have",
    severity=Severity.ERROR,
    reason="The gateway verifies the pods' certificate against this name and answers 503 where it does not fit.",
    remedy="Let `validation.hostname` be one of the Certificate's `dnsNames`.",
    source="Gateway API, BackendTLSPolicyValidation.hostname",
    check=check,
    good=together(CANARY, _MOUNTED, _CERTIFICATE, _POLICY),
    bad=together(
        CANARY, _MOUNTED, _CERTIFICATE, swapped(_POLICY, "hostname: sentiment.example.com", "hostname: sentiment")
    ),
)
