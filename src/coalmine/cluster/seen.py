"""One look at a Canary: Flagger's own status, and which releases the two Deployments' pod templates name. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from coalmine.errors import BadInput
from coalmine.records import Phase, ReleaseId
from coalmine.release.file import RELEASE

MODEL = "coalmine.dev/model"  # annotation of a Canary whose name is not its model's
ENV = "coalmine.dev/env"  # annotation of a Canary whose environment is not the closer's
_THRESHOLD = 0  # Flagger's own default: the first failed check ends the canary


@dataclass(frozen=True, slots=True)
class Seen:
    """What the API server showed at `t`. `target` and `primary` are None where a Deployment names no release.

    `settled` is the time of the status' condition, which stays as long as the phase does (Flagger renews
    `lastTransitionTime` of a failed Canary at every tick, which is `written`); whole seconds, 0 without one.
    """

    namespace: str
    name: str
    model: str
    env: str
    phase: Phase | None
    weight: int
    failed_checks: int
    threshold: int
    applied: str
    promoted: str
    settled: float
    written: float
    target: ReleaseId | None
    primary: ReleaseId | None
    t: float

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def mark(self) -> str:
        """Names the end that is shown; two ends of one kind differ in their time."""
        return f"{self.phase}@{self.settled:.0f}"


def look(
    canary: Mapping[str, Any],
    target: Mapping[str, Any] | None,
    primary: Mapping[str, Any] | None,
    *,
    env: str,
    t: float,
) -> Seen:
    """Read a Canary and its two Deployments, as the API server gives them. Raises BadInput for an unknown phase."""
    meta, status = canary["metadata"], canary.get("status") or {}
    notes = meta.get("annotations") or {}
    phase = status.get("phase") or None
    try:
        known = Phase(phase) if phase else None
    except ValueError as error:
        where = f"Canary {meta['namespace']}/{meta['name']}"
        raise BadInput(f"unknown phase {phase!r}", where=where, remedy="this closer knows Flagger 1.44") from error
    analysis = canary.get("spec", {}).get("analysis") or {}
    return Seen(
        namespace=meta["namespace"],
        name=meta["name"],
        model=notes.get(MODEL) or meta["name"],
        env=notes.get(ENV) or env,
        phase=known,
        weight=int(status.get("canaryWeight") or 0),
        failed_checks=int(status.get("failedChecks") or 0),
        threshold=int(analysis.get("threshold") or _THRESHOLD),
        applied=status.get("lastAppliedSpec") or "",
        promoted=status.get("lastPromotedSpec") or "",
        settled=_settled(status, phase),
        written=seconds(status.get("lastTransitionTime")),
        target=_release(target),
        primary=_release(primary),
        t=t,
    )


def targets(canary: Mapping[str, Any]) -> tuple[str, str]:
    """The names of the target's Deployment and of the one that Flagger makes of it."""
    name = str(canary["spec"]["targetRef"]["name"])
    return name, f"{name}-primary"


def _release(deployment: Mapping[str, Any] | None) -> ReleaseId | None:
    if deployment is None:
        return None
    notes = deployment["spec"]["template"].get("metadata", {}).get("annotations") or {}
    try:
        return ReleaseId.parse(str(notes.get(RELEASE, "")))
    except BadInput:
        return None


def _settled(status: Mapping[str, Any], phase: str | None) -> float:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Promoted" and condition.get("reason") == phase:
            return seconds(condition.get("lastTransitionTime"))
    return 0.0


def seconds(stamp: object) -> float:
    """Unix seconds of an API server's time; 0 for none."""
    if not isinstance(stamp, str) or not stamp:
        return 0.0
    return datetime.fromisoformat(stamp).timestamp()
