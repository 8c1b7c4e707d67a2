"""A Canary's status as Flagger 1.44 writes it, step by step (pkg/canary/status.go, pkg/controller/scheduler.go).

Each method is one write of Flagger's, or a person's push. What it leaves out, Flagger leaves out: `failedChecks` is 0
again when a canary ends, a failed Canary's `lastAppliedSpec` follows the target at each tick, `lastPromotedSpec` is
the hash that was applied, whatever the pods run by then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from coalmine.cluster.seen import Seen, look
from coalmine.records import ReleaseId

M1, M2, M3, M4 = (ReleaseId(version, "abc1234") for version in (1, 2, 3, 4))
NAMESPACE, NAME = "sentiment", "sentiment"
_UNKNOWN, _TRUE, _FALSE = "Unknown", "True", "False"
_STATUS = {"Initialized": _TRUE, "Succeeded": _TRUE, "Failed": _FALSE}
_KEEPS_WEIGHT = ("Progressing", "Waiting", "Promoting")


def stamp(t: float) -> str:
    return datetime.fromtimestamp(int(t), UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Flagger:
    """One Canary with its two Deployments. `t` is Unix seconds and passes by `interval` with each of its writes."""

    threshold: int = 30
    interval: float = 10.0
    t: float = 1_800_000_000.0
    name: str = NAME
    namespace: str = NAMESPACE
    status: dict[str, Any] = field(default_factory=dict)
    target: dict[str, str] | None = None  # annotations of the pod template
    primary: dict[str, str] | None = None

    # ---- people ----

    def push(self, release: ReleaseId, *, config: str = "") -> Flagger:
        """Argo CD applies what main names now."""
        self.target = {"coalmine.dev/release": str(release), "config": config}
        return self

    # ---- Flagger ----

    def initializing(self) -> Flagger:
        self.primary = dict(self.target or {})
        return self._write("Initializing")

    def initialized(self) -> Flagger:
        self._sync("Initialized")
        self.status["lastPromotedSpec"] = self.status["lastAppliedSpec"]
        return self

    def served(self, release: ReleaseId) -> Flagger:
        """A first release, all the way."""
        return self.push(release).initializing().initialized()

    def waiting(self) -> Flagger:
        return self._write("Waiting")

    def progressing(self) -> Flagger:
        """A canary begins, or begins anew with a newer revision."""
        return self._sync("Progressing")

    def weight(self, weight: int) -> Flagger:
        return self._set(canaryWeight=weight)

    def checks_failed(self, count: int) -> Flagger:
        return self._set(failedChecks=count)

    def waiting_promotion(self) -> Flagger:
        return self._write("WaitingPromotion")

    def promoting(self) -> Flagger:
        self.primary = dict(self.target or {})
        return self._write("Promoting")

    def finalising(self) -> Flagger:
        return self._write("Finalising")

    def succeeded(self) -> Flagger:
        self._write("Succeeded")
        self.status["lastPromotedSpec"] = self.status["lastAppliedSpec"]
        return self

    def promoted(self) -> Flagger:
        return self.promoting().finalising().succeeded()

    def failed(self, *, weight: int = 0) -> Flagger:
        """`weight`: 100 where the primary did not take the promoted release."""
        self._sync("Failed")
        self.status["canaryWeight"] = weight
        return self

    def resync(self) -> Flagger:
        """What each tick does to a Canary that has failed."""
        return self._sync("Failed")

    # ---- what is shown ----

    @property
    def canary(self) -> dict[str, Any]:
        return {
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {"targetRef": {"name": self.name}, "analysis": {"threshold": self.threshold}},
            "status": dict(self.status),
        }

    def look(self) -> Seen:
        """Two seconds after the last write."""
        both = (None if notes is None else deployment(notes) for notes in (self.target, self.primary))
        return look(self.canary, *both, env="bench", t=self.t + 2)

    # ---- as in status.go ----

    def _sync(self, phase: str) -> Flagger:
        """syncCanaryStatus: takes the target's hash, and clears the counters."""
        self.status |= {"canaryWeight": 0, "failedChecks": 0, "iterations": 0, "lastAppliedSpec": self._hash()}
        return self._write(phase)

    def _write(self, phase: str) -> Flagger:
        """setStatusPhase and MakeStatusConditions."""
        self._set(phase=phase)
        if phase not in _KEEPS_WEIGHT:
            self.status |= {"canaryWeight": 0, "iterations": 0}
        before = (self.status.get("conditions") or [{}])[0]
        says = _STATUS.get(phase, _UNKNOWN)
        if before.get("reason") != phase or before.get("status") != says:
            since = before["lastTransitionTime"] if before.get("status") == says else stamp(self.t)
            self.status["conditions"] = [
                {
                    "type": "Promoted",
                    "status": says,
                    "reason": phase,
                    "message": f"as for {phase}",
                    "lastUpdateTime": stamp(self.t),
                    "lastTransitionTime": since,
                }
            ]
        return self

    def _set(self, **fields: object) -> Flagger:
        self.t += self.interval
        self.status |= {"iterations": 0, "failedChecks": 0, "canaryWeight": 0} | self.status
        self.status |= {**fields, "lastTransitionTime": stamp(self.t)}
        return self

    def _hash(self) -> str:
        return str(abs(hash(tuple(sorted((self.target or {}).items())))))


def deployment(notes: dict[str, str]) -> dict[str, Any]:
    return {"spec": {"template": {"metadata": {"annotations": dict(notes)}}}}
