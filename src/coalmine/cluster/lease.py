"""Which of several closers acts: a Lease of the API server, renewed by its holder.

A holder that cannot renew stops acting before another may take it. What it was doing just then is safe all the same:
each step is idempotent, and main moves only from the commit that was read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from coalmine.cluster.api import Conflict
from coalmine.cluster.seen import seconds
from coalmine.errors import Temporary

SECONDS = 15
Object = Mapping[str, Any]


class Leases(Protocol):
    """The three questions; see api.Api."""

    def lease(self, namespace: str, name: str) -> Object | None: ...

    def make_lease(self, namespace: str, body: Object) -> Object: ...

    def put_lease(self, namespace: str, name: str, body: Object) -> Object: ...


@dataclass(slots=True)
class Lease:
    """One closer's view. `me` must be its own name: a pod's."""

    api: Leases
    namespace: str
    name: str
    me: str
    duration: int = SECONDS
    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    _until: float = field(default=float("-inf"))  # on the steady clock: until when nobody else can have it
    _observed: tuple[str, float] = ("", 0.0)  # another's version, and when it was first seen here

    @property
    def held(self) -> bool:
        return self.steady() < self._until

    def hold(self) -> bool:
        """Take or renew it; False where another has it, or the server does not answer and ours has run out."""
        asked = self.steady()
        try:
            found = self.api.lease(self.namespace, self.name)
            if found is None:
                self.api.make_lease(self.namespace, self._body({}, changes=0))
            elif self._is_free(found):
                self.api.put_lease(self.namespace, self.name, self._body(found, changes=self._changes(found)))
            else:
                self._until = float("-inf")
                return False
        except Conflict:
            return False
        except Temporary:
            return self.held
        self._until = asked + self.duration * 2 / 3  # a third is left for a clock that runs fast
        return True

    def release(self) -> None:
        """Give it up, so that the next one need not wait. Raises nothing that matters: it runs out anyway."""
        if not self.held:
            return
        self._until = float("-inf")
        try:
            found = self.api.lease(self.namespace, self.name)
            if found is not None and found["spec"].get("holderIdentity") == self.me:
                body = dict(found)
                body["spec"] = {**found["spec"], "holderIdentity": ""}
                self.api.put_lease(self.namespace, self.name, body)
        except Temporary:
            return

    def _is_free(self, found: Object) -> bool:
        """Ours, given up, or not renewed for its duration as measured here: clocks of two nodes need not agree."""
        spec, version = found.get("spec") or {}, str(found["metadata"]["resourceVersion"])
        if spec.get("holderIdentity") in (self.me, "", None):
            return True
        if version != self._observed[0]:
            self._observed = (version, self.steady())
            return self.wall() - seconds(spec.get("renewTime")) > 4 * self.duration  # left behind long ago
        return self.steady() - self._observed[1] > float(spec.get("leaseDurationSeconds") or self.duration)

    def _changes(self, found: Object) -> int:
        spec = found.get("spec") or {}
        return int(spec.get("leaseTransitions") or 0) + (spec.get("holderIdentity") != self.me)

    def _body(self, found: Object, *, changes: int) -> Object:
        now = datetime.fromtimestamp(self.wall(), UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        meta = found.get("metadata") or {"name": self.name, "namespace": self.namespace}
        before = found.get("spec") or {}
        since = before.get("acquireTime") if before.get("holderIdentity") == self.me else None
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": meta,
            "spec": {
                "holderIdentity": self.me,
                "leaseDurationSeconds": self.duration,
                "acquireTime": since or now,
                "renewTime": now,
                "leaseTransitions": changes,
            },
        }
