"""A look as Prometheus' text format: a file that the judge serves on one machine and a textfile collector can read."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from coalmine.drift.health import Health
from coalmine.drift.watch import State


def registry(found: Health) -> CollectorRegistry:
    """Every series, filled from one look."""
    made = CollectorRegistry()
    of_signal = ["model", "tenant", "signal"]
    state = Gauge("coalmine_drift_state", "1 for the state that a signal is in", [*of_signal, "state"], registry=made)
    evidence = Gauge("coalmine_drift_log_e", "Evidence of a change, natural logarithm", of_signal, registry=made)
    limit = Gauge("coalmine_drift_log_threshold", "Where the alarm comes", of_signal, registry=made)
    rows = Gauge("coalmine_drift_rows", "Rows looked at since the reference", of_signal, registry=made)
    tenant = Gauge(
        "coalmine_drift_tenant_state", "1 for the state of a tenant", ["model", "tenant", "state"], registry=made
    )
    looked = Gauge("coalmine_drift_last_look_seconds", "Unix time of the last look", ["model"], registry=made)
    looked.labels(found.model).set(found.made_at)
    for one in found.tenants:
        for known in State:
            tenant.labels(found.model, one.name, known).set(float(one.state is known))
        for each in one.signals:
            names = (found.model, one.name, each.name)
            for known in State:
                state.labels(*names, known).set(float(each.state is known))
            evidence.labels(*names).set(each.log_e)
            limit.labels(*names).set(each.log_limit)
            rows.labels(*names).set(each.seen)
    _processes(found, made)
    return made


def _processes(found: Health, made: CollectorRegistry) -> None:
    cpu = Counter("coalmine_process_cpu_seconds", "CPU time, with children", ["process"], registry=made)
    memory = Gauge("coalmine_process_resident_bytes", "Resident memory, with children", ["process"], registry=made)
    restarts = Gauge("coalmine_process_restarts", "Restarts after an end by itself", ["process"], registry=made)
    for one in found.processes:
        cpu.labels(one.name).inc(one.cpu_seconds)
        memory.labels(one.name).set(one.resident_bytes)
        restarts.labels(one.name).set(one.restarts)


def text(found: Health) -> str:
    return generate_latest(registry(found)).decode()
