"""CM104: the same mistake in Flagger's own flag."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_KNOWN = re.compile(
    r"apisix|appmesh(:v1beta2)?|contour|gatewayapi:v1(beta1)?|gloo|istio|knative|kubernetes|kuma|linkerd|nginx|osm"
    r"|skipper|smi:v1alpha[123](:.*)?|traefik"
)
_FLAG = re.compile(r"--?mesh-provider=(.*)")


def check(estate: Estate) -> Iterator[Hit]:
    for app in estate.kind("Application"):
        path = ("spec", "source", "helm", "valuesObject", "meshProvider")
        if app.at("spec", "source", "chart") == "flagger" and not _KNOWN.fullmatch(app.text(*path) or "istio"):
            yield app.hit(path, f"meshProvider: {app.text(*path)} is none that Flagger knows")
    for pod in estate.pods:
        for container in pod.containers():
            for word in container.words:
                match = _FLAG.match(word)
                if match and not _KNOWN.fullmatch(match[1]):
                    yield container.hit(("args",), f"-mesh-provider={match[1]} is none that Flagger knows")


_GOOD = swapped(
    swapped(
        JUDGE, "        - name: judge\n", "        - name: flagger\n          args: [-mesh-provider=gatewayapi:v1]\n"
    ),
    "registry.example/coalmine",
    "ghcr.io/fluxcd/flagger",
)

RULE = Rule(
    id="CM104",
    title="Flagger's mesh provider",
    severity=Severity.ERROR,
    reason="Flagger starts with any word and takes one that it does not know for Istio, with a warning only.",
    remedy="Write `-mesh-provider=gatewayapi:v1` (in the chart: `meshProvider`).",
    source="Flagger 1.44, pkg/router/factory.go and cmd/flagger/main.go",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "gatewayapi:v1", "gatewayapi"),
)
