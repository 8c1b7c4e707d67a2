"""CM320: BentoML serves sources instead of a built Bento."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_SOURCE = re.compile(r"(?:^|\s)(?:bentoml\s+)?serve(?:-http)?\s+(?:\S+\.py\b|service:|\S+\.py:|\.(?:\s|$))")


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for container in pod.containers():
            words = " ".join(container.words)
            if "bentoml" in words and _SOURCE.search(words):
                yield container.hit(("args" if container.data.get("args") else "command",), words)


_SERVES = swapped(JUDGE, "          ports:", "          args: [bentoml, serve, /home/bentoml/bento]\n          ports:")

RULE = Rule(
    id="CM320",
    title="Served from sources",
    severity=Severity.ERROR,
    reason="Only a built Bento has a version: served from sources `service_version` is `not available` in every "
    "series, and nothing says which model answered.",
    remedy="Build the Bento, build the image of it, and serve that.",
    source="BentoML 1.4, instruments.py: service_version",
    check=check,
    good=_SERVES,
    bad=swapped(_SERVES, "/home/bentoml/bento", "service.py:Sentiment"),
)
