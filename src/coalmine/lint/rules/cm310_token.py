"""CM310: a pod carries a token of the API that it has no use for."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps


def check(estate: Estate) -> Iterator[Hit]:
    bound = set(_bound(estate))
    for pod in estate.pods:
        account = estate.find("ServiceAccount", pod.namespace, pod.account)
        mounts = pod.spec.get("automountServiceAccountToken")
        if mounts is None:
            mounts = account.at("automountServiceAccountToken") if account else None
        if mounts is not False and (pod.namespace, pod.account) not in bound:
            yield pod.hit(("spec", "automountServiceAccountToken"), f"ServiceAccount {pod.account} is bound to no role")


def _bound(estate: Estate) -> Iterator[tuple[str, str]]:
    for binding in estate.kind("RoleBinding", "ClusterRoleBinding"):
        for _, subject in maps(binding.data, "subjects"):
            if subject.get("kind") == "ServiceAccount":
                yield str(subject.get("namespace") or binding.namespace), str(subject.get("name"))


RULE = Rule(
    id="CM310",
    title="Token without a use",
    severity=Severity.WARNING,
    reason="Each pod is given a token of the API unless told otherwise: whoever breaks into a model's process speaks"
    " to the API server as this account, today without rights, one day with those of a careless binding.",
    remedy="Write `automountServiceAccountToken: false`, best in a ServiceAccount of its own.",
    source="Kubernetes, configure service accounts for pods",
    check=check,
    good=JUDGE,
    bad=swapped(JUDGE, "      automountServiceAccountToken: false\n", ""),
)
