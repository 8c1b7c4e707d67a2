"""CM308: a probe asks a port that its container does not have."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import DEPLOYMENT
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import at

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def check(estate: Estate) -> Iterator[Hit]:
    for pod in estate.pods:
        for container in pod.lasting():
            for probe in PROBES:
                for how in ("httpGet", "tcpSocket", "grpc"):
                    port = at(container.data, probe, how, "port")
                    ports = container.ports()
                    wrong = (
                        port not in ports if isinstance(port, str) else bool(ports) and port not in pod.ports().values()
                    )
                    if port is not None and wrong:
                        yield container.hit(
                            (probe, how, "port"), f"{port} is none of {', '.join(ports) or 'its ports'}"
                        )


RULE = Rule(
    id="CM308",
    title="Probe of a port that is not there",
    severity=Severity.ERROR,
    reason="The probe never succeeds: the pod is never ready, or is killed again and again.",
    remedy="Name a port of the container.",
    source="Kubernetes, probes: a port's name is looked up in the container that has the probe",
    check=check,
    good=DEPLOYMENT,
    bad=swapped(DEPLOYMENT, "readinessProbe: {tcpSocket: {port: https}}", "readinessProbe: {tcpSocket: {port: http}}"),
)
