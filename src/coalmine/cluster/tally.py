"""The closer's own series."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

_CANARY = ("namespace", "name")


@dataclass(slots=True)
class Tally:
    """A registry of its own, so that two closers in one process (tests) do not collide."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    ends: Counter = field(init=False)
    closed: Counter = field(init=False)
    waiting: Gauge = field(init=False)
    tries: Counter = field(init=False)
    looks: Counter = field(init=False)
    looked: Gauge = field(init=False)
    broken: Counter = field(init=False)
    leads: Gauge = field(init=False)

    def __post_init__(self) -> None:
        here = self.registry
        self.ends = Counter("coalmine_closer_ends", "attempts that ended", (*_CANARY, "outcome"), registry=here)
        self.closed = Counter("coalmine_closer_closed", "endings closed", (*_CANARY, "outcome"), registry=here)
        self.waiting = Gauge("coalmine_closer_waiting", "seconds that the oldest closing waits", _CANARY, registry=here)
        self.tries = Counter("coalmine_closer_retries", "closings put off to be tried again", _CANARY, registry=here)
        self.looks = Counter("coalmine_closer_looks", "looks at a Canary", registry=here)
        self.looked = Gauge("coalmine_closer_last_list_seconds", "when all Canaries were last listed", registry=here)
        self.broken = Counter("coalmine_closer_watch_breaks", "watches that ended by an error", registry=here)
        self.leads = Gauge("coalmine_closer_leads", "1 for the replica that acts", registry=here)

    def exposition(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
