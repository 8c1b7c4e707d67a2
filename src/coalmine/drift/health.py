"""What a look found, as records: for people, for machines, for metrics. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coalmine.drift import watch
from coalmine.drift.watch import Plan, Series, State

EXIT_CODES = {State.HEALTHY: 0, State.ALARM: 10, State.NO_DATA: 11}


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of one tenant. `log_e` is the evidence, natural logarithm; the alarm comes at `log_limit`."""

    name: str
    state: State
    what: str
    seen: int
    alarm_at: int
    log_e: float
    log_limit: float
    trail: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Tenant:
    """All signals of a tenant, worst first."""

    name: str
    release: str
    state: State
    what: str
    reference: int
    signals: tuple[Signal, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this machine's runtime."""

    name: str
    cpu_seconds: float
    resident_bytes: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Health:
    """One look at everything."""

    made_at: float
    model: str
    alpha: float
    state: State
    tenants: tuple[Tenant, ...] = ()
    processes: tuple[Process, ...] = ()


def signal(name: str, one: Series, plan: Plan, *, limit: float) -> Signal:
    found = watch.state(one)
    words = {
        State.ALARM: f"alarm after {one.alarm_at} rows: {one.drivers}",
        State.HEALTHY: f"no evidence of a change in {one.seen} rows",
        State.NO_DATA: f"{len(one.pending)} of the {plan.window} rows of a first window",
    }
    return Signal(
        name,
        found,
        words[found],
        one.seen,
        one.alarm_at,
        math.log(one.evidence.e),
        math.log(limit),
        one.trail,
    )


def tenant(
    name: str, release: str, series: Mapping[str, Series], plan: Plan, *, limit: float, reference: int
) -> Tenant:
    """The tenant's state is the worst of its signals'."""
    order = list(State)
    found = sorted(
        (signal(key, one, plan, limit=limit) for key, one in series.items()),
        key=lambda one: (order.index(one.state), -one.log_e, one.name),
    )
    state = watch.worst([one.state for one in found])
    alarms = [one.name for one in found if one.state is State.ALARM]
    words = {
        State.ALARM: f"{', '.join(alarms)} changed against {reference} rows of reference",
        State.HEALTHY: f"no evidence of a change against {reference} rows of reference",
        State.NO_DATA: f"no full window of {plan.window} rows since the reference of {reference}",
    }
    return Tenant(name, release, state, words[state], reference, tuple(found))


def health(
    tenants: Sequence[Tenant], *, made_at: float, model: str, alpha: float, processes: Sequence[Process] = ()
) -> Health:
    state = watch.worst([one.state for one in tenants])
    return Health(made_at, model, alpha, state, tuple(tenants), tuple(processes))


def lines(found: Health) -> list[str]:
    """For people: a line for each tenant, and one for each of its signals."""
    said = [f"{found.state}: {found.model}, at most {found.alpha:g} false alarms for each tenant and reference"]
    if not found.tenants:
        said.append("  no predictions in the lake yet")
    for one in found.tenants:
        said.append(f"  {one.name} ({one.release}): {one.state}: {one.what}")
        said += [
            f"    {each.state:8} {each.name}: {each.what} (odds {_odds(each.log_e)}, alarm at {_odds(each.log_limit)})"
            for each in one.signals
        ]
    said += [
        f"  process {one.name}: {one.cpu_seconds:.0f} s CPU, {one.resident_bytes / 2**20:.0f} MiB, "
        f"{one.restarts} restarts"
        for one in found.processes
    ]
    return said


def _odds(log: float) -> str:
    return f"{math.exp(log):,.3g}:1" if log >= 0 else f"1:{math.exp(-log):,.3g}"
