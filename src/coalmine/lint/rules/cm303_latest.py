"""CM303: whatever image is the latest."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import DIGEST, JUDGE
from coalmine.lint.objects import CONTAINERS
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    judged = {id(pod.owner) for _, pod in estate.canary_pods()}
    for pod in estate.pods:
        for container in pod.containers(*CONTAINERS) if id(pod.owner) not in judged else ():
            name = container.image.rpartition("/")[2]
            if "@" not in name and (":" not in name or name.endswith(":latest")):
                yield container.hit(("image",), f"{container.image or 'no image'} is whatever was pushed last")


RULE = Rule(
    id="CM303",
    title="Latest image",
    severity=Severity.ERROR,
    reason="Two nodes may run two programs under one name, and nothing in git says which; there is no way back.",
    remedy="Name a version, best by digest.",
    source="Kubernetes, Images: image names",
    check=check,
    good=JUDGE,
    bad=swapped(JUDGE, f"registry.example/coalmine@{DIGEST}", "registry.example/coalmine:latest"),
)
