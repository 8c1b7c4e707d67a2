"""What came of a script, on either side: one `Tick` after another, in a form in which the two can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """A question that arrived over HTTP. `body`: the webhook's JSON as parsed, or the metric's query.

    `kind` is the hook's type, or `metric`; `at` is when, in seconds of the wall clock.
    """

    kind: str
    name: str
    body: Any
    at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Tick:
    """The state after one tick, and the calls made in it.

    `weight`: what the route gives the canary, in percent. `primary`: the release that the primary runs.
    """

    phase: str
    weight: int
    failed_checks: int
    primary: str
    calls: tuple[Call, ...] = ()

    def __str__(self) -> str:
        """`Progressing 10 0 v1 | rollback(Progressing, 2) ...`: a call with the phase and checksum that it carried."""
        calls = [_short(call) for call in self.calls]
        return f"{self.phase} {self.weight} {self.failed_checks} {self.primary}" + (
            " | " + " ".join(calls) if calls else ""
        )


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole script. `phases`: each one entered, those that no tick ends with too."""

    ticks: tuple[Tick, ...]
    phases: tuple[str, ...]

    def named(self) -> Trace:
        """Checksums replaced by `checksum 1`, `checksum 2`, ... in the order in which they came up.

        The two sides hash different things (a pod template, a release and its faults), and may: what matters to a
        judge is only which calls carry the same one. An event's time reads as `now`.
        """
        names: dict[str, str] = {}
        return Trace(tuple(_named(tick, names) for tick in self.ticks), self.phases)


def _named(tick: Tick, names: dict[str, str]) -> Tick:
    calls = []
    for call in tick.calls:
        body = call.body
        if isinstance(body, Mapping) and "checksum" in body:
            name = names.setdefault(body["checksum"], f"checksum {len(names) + 1}")
            body = {**body, "checksum": name}
            if "timestamp" in body.get("metadata", {}):
                body["metadata"] = {**body["metadata"], "timestamp": "now"}
        calls.append(Call(call.kind, call.name, body, call.at))
    return replace(tick, calls=tuple(calls))


def deduplicated(phases: Sequence[str]) -> tuple[str, ...]:
    """Each phase once for each time that it was entered."""
    return tuple(phase for index, phase in enumerate(phases) if phase and (index == 0 or phases[index - 1] != phase))


def _short(call: Call) -> str:
    if not isinstance(call.body, Mapping):
        return call.name
    said = f": {call.body['metadata']['eventMessage']}" if call.kind == "event" else ""
    return f"{call.name}({call.body['phase']},{str(call.body['checksum']).removeprefix('checksum ')}{said})"
