"""CM301: a release is named by a tag."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, IMAGE, together
from coalmine.lint.objects import CONTAINERS
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")


def check(estate: Estate) -> Iterator[Hit]:
    for canary, pod in estate.canary_pods():
        for container in pod.containers(*CONTAINERS):
            if not _DIGEST.search(container.image):
                yield container.hit(
                    ("image",), f"{container.image or 'no image'} has no digest, in Canary {canary.name}"
                )


RULE = Rule(
    id="CM301",
    title="Release without a digest",
    severity=Severity.ERROR,
    reason="A tag may name another image tomorrow: primary and canary then differ in what nobody has released, a "
    "rollback does not go back, and the signature that was checked is not of what runs.",
    remedy="Let the release file name the image by digest: `coalmine release` writes it.",
    source="src/coalmine/release/file.py; Kubernetes, Images: digests",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(CANARY, swapped(DEPLOYMENT, f"image: {IMAGE}", "image: registry.example/sentiment:m7-0a1b2c3")),
)
