"""CM225: a ServiceMonitor or PodMonitor scrapes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import JUDGE, SERVICE, together
from coalmine.lint.objects import Obj
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import items, mapping, maps, selects


def check(estate: Estate) -> Iterator[Hit]:
    for monitor in estate.kind("ServiceMonitor"):
        found = [one for one in _services(estate, monitor) if selects(monitor.at("spec", "selector"), one.labels)]
        if not found and estate.knows("Service", monitor.namespace):
            yield monitor.hit(("spec", "selector"), "no Service has these labels")
        for index, endpoint in maps(monitor.data, "spec", "endpoints"):
            names = {str(port.get("name")) for one in found for _, port in maps(one.data, "spec", "ports")}
            if found and endpoint.get("port") and str(endpoint["port"]) not in names:
                yield monitor.hit(
                    ("spec", "endpoints", index, "port"), f"{endpoint['port']} is none of {sorted(names)}"
                )
    for monitor in estate.kind("PodMonitor"):
        pods = estate.selected(monitor.namespace, mapping(monitor.data, "spec", "selector"))
        here = any(pod.namespace == monitor.namespace for pod in estate.pods)
        if not pods and here and not monitor.at("spec", "namespaceSelector"):
            yield monitor.hit(("spec", "selector"), "no pod has these labels")
        for index, endpoint in maps(monitor.data, "spec", "podMetricsEndpoints"):
            port = endpoint.get("port")
            if pods and port and not any(port in pod.ports() for pod in pods):
                yield monitor.hit(("spec", "podMetricsEndpoints", index, "port"), f"no pod has a port named {port}")


def _services(estate: Estate, monitor: Obj) -> list[Obj]:
    where = mapping(monitor.data, "spec", "namespaceSelector")
    names = [str(name) for name in items(where, "matchNames")] or [monitor.namespace]
    return [one for one in estate.kind("Service", made_too=True) if where.get("any") or one.namespace in names]


_MONITOR = """\
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: judge, namespace: coalmine}
spec:
  selector: {matchLabels: {app: judge}}
  endpoints: [{port: http}]
"""

RULE = Rule(
    id="CM225",
    title="Monitor that scrapes nothing",
    severity=Severity.ERROR,
    reason="A ServiceMonitor goes by the Service's own labels and the port's name; one that fits nothing is no error "
    "anywhere, and each query on its series returns nothing.",
    remedy="Let `selector` be labels of the Service (not its selector), and `port` the name of a port.",
    source="Prometheus operator, ServiceMonitorSpec",
    check=check,
    good=together(_MONITOR, SERVICE, JUDGE),
    bad=together(swapped(_MONITOR, "port: http", "port: metrics"), SERVICE, JUDGE),
)
