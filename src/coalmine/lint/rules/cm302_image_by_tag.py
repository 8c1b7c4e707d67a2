"""CM302: another image is named by a tag."""

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
            if "@" not in name and ":" in name and not name.endswith(":latest"):
                yield container.hit(("image",), f"{container.image} has no digest")


RULE = Rule(
    id="CM302",
    title="Image by tag",
    severity=Severity.WARNING,
    reason="A tag may be moved, by its owner or by whoever has the registry: the same manifest then runs something "
    "else.",
    remedy="Write `name@sha256:...` (a kustomization's `images: [{name, digest}]`), and let a bot renew it.",
    source="Kubernetes, Images: digests",
    check=check,
    good=JUDGE,
    bad=swapped(JUDGE, f"registry.example/coalmine@{DIGEST}", "registry.example/coalmine:1.2.3"),
)
