"""CM309: a probe asks the pod's address, and the program listens on loopback."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import at

_LOOPBACK = re.compile(r"(?:--host[= ]|--bind[= ]|--address[= ])(?:127\.0\.0\.1|localhost)\b")


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for container in pod.lasting():
            inside = _LOOPBACK.search(" ".join(container.words))
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                how = next((one for one in ("httpGet", "tcpSocket") if at(container.data, probe, one)), None)
                if inside and how:
                    yield container.hit((probe, how), f"{container.name} is given {inside[0]}")


_PROBED = swapped(
    JUDGE,
    "          ports:",
    """\
          args: [serve, --host=127.0.0.1]
          readinessProbe: {exec: {command: [probe, readyz]}}
          ports:""",
)

RULE = Rule(
    id="CM309",
    title="Probe of a loopback address",
    severity=Severity.ERROR,
    reason="The kubelet asks the pod's own address: a service behind the pod's nginx that listens on 127.0.0.1 is "
    "never found ready.",
    remedy="Probe by `exec` in the container, or through nginx.",
    source="Kubernetes, probes: host defaults to the pod's IP",
    check=check,
    good=_PROBED,
    bad=swapped(_PROBED, "{exec: {command: [probe, readyz]}}", "{httpGet: {path: /readyz, port: http}}"),
)
