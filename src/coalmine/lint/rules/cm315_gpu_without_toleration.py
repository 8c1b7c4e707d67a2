"""CM315: a pod that wants a GPU and is kept from the nodes that have one."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.objects import CONTAINERS, Container
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import mapping, maps, quantity

_GPU = "nvidia.com/gpu"


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        wants = any(_wants(one) for one in pod.containers(*CONTAINERS))
        tolerated = any(
            one.get("key") == _GPU or (one.get("operator") == "Exists" and not one.get("key"))
            for _, one in maps(pod.spec, "tolerations")
        )
        if wants and not tolerated:
            yield pod.hit(("spec", "tolerations"), f"no toleration of {_GPU}")


def _wants(container: Container) -> bool:
    return bool(quantity(mapping(container.data, "resources", "limits").get(_GPU)))


_WANTS = swapped(JUDGE, "          ports:", "          resources: {limits: {nvidia.com/gpu: 1}}\n          ports:")

RULE = Rule(
    id="CM315",
    title="GPU without a toleration",
    severity=Severity.WARNING,
    reason="GPU nodes are tainted so that others stay away: a pod that does not tolerate the taint is Pending for "
    "ever, and the canary ends by its deadline.",
    remedy="Add `tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]`.",
    source="Kubernetes, taints and tolerations: dedicated nodes with special hardware",
    check=check,
    good=swapped(
        _WANTS, "      containers:", "      tolerations: [{key: nvidia.com/gpu, operator: Exists}]\n      containers:"
    ),
    bad=_WANTS,
)
