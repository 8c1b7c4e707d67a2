"""CM211: TLS to the pods is asked for on a Service that no request goes to."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, together
from coalmine.lint.made import service_names
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps


def check(estate: Estate) -> Iterator[Hit]:
    policies = list(estate.kind("BackendTLSPolicy"))
    for canary in estate.kind("Canary"):
        apex, *arms = service_names(canary)
        near = [policy for policy in policies if policy.namespace == canary.namespace]
        targeted = {
            str(ref.get("name")): policy for policy in near for _, ref in maps(policy.data, "spec", "targetRefs")
        }
        missing = [arm for arm in arms if arm not in targeted]
        if missing and targeted.keys() & {apex, *arms}:
            policy = next(targeted[name] for name in (apex, *arms) if name in targeted)
            yield policy.hit(("spec", "targetRefs"), f"Canary {canary.name} sends to {', '.join(missing)} as well")


_POLICY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: sentiment, namespace: sentiment}
spec:
  targetRefs:
    - {group: "", kind: Service, name: sentiment-primary}
    - {group: "", kind: Service, name: sentiment-canary}
  validation: {hostname: sentiment.example.com, caCertificateRefs: [{group: "", kind: ConfigMap, name: ca}]}
"""

RULE = Rule(
    id="CM211",
    title="TLS policy that misses an arm",
    severity=Severity.ERROR,
    reason="Flagger's HTTPRoute names `<name>-primary` and `<name>-canary`, never the apex: an arm without the "
    "policy is spoken to without TLS, and its nginx answers 400. A canary then fails although the release is "
    "good.",
    remedy="Name both arms' Services in `targetRefs`.",
    source="Flagger 1.44, pkg/router/gateway_api.go; Gateway API, BackendTLSPolicy",
    check=check,
    good=together(CANARY, _POLICY),
    bad=together(CANARY, swapped(_POLICY, '    - {group: "", kind: Service, name: sentiment-canary}\n', "")),
)
