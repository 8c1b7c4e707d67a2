"""Of two closers one acts, and the other takes over when it is gone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coalmine.cluster.api import Conflict
from coalmine.cluster.lease import Lease
from coalmine.errors import Temporary


@dataclass
class Server:
    """The API server's part: one object with a version. `down` while it does not answer."""

    kept: dict[str, Any] | None = None
    version: int = 0
    down: bool = False
    seen: list[str] = field(default_factory=list)

    def lease(self, _namespace: str, _name: str) -> Mapping[str, Any] | None:
        if self.down:
            raise Temporary("down")
        return copy.deepcopy(self.kept)

    def make_lease(self, _namespace: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.kept is not None:
            raise Conflict("exists")
        return self._keep(body)

    def put_lease(self, _namespace: str, _name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if body["metadata"].get("resourceVersion") != str(self.version):
            raise Conflict("changed")
        return self._keep(body)

    def _keep(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.version += 1
        self.kept = copy.deepcopy(dict(body))
        self.kept["metadata"] = {**self.kept["metadata"], "resourceVersion": str(self.version)}
        self.seen.append(self.kept["spec"]["holderIdentity"])
        return self.kept


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def lease(server: Server, me: str, clock: Clock) -> Lease:
    return Lease(server, "coalmine", "closer", me, wall=clock, steady=clock)


def test_one_of_two_holds_it_and_renews_it() -> None:
    server, clock = Server(), Clock()
    one, two = lease(server, "one", clock), lease(server, "two", clock)
    for _ in range(20):
        assert one.hold()
        assert not two.hold()
        clock.now += 4
        assert (one.held, two.held) == (True, False)


def test_a_dead_holders_lease_is_taken_only_after_its_time_as_seen_here() -> None:
    server, clock = Server(), Clock()
    one, two = lease(server, "one", clock), lease(server, "two", clock)
    assert one.hold()
    assert not two.hold()
    clock.now += 14
    assert not two.hold()
    clock.now += 2
    assert two.hold()
    assert not one.held
    assert not one.hold()
    assert server.kept is not None
    assert server.kept["spec"]["leaseTransitions"] == 1


def test_a_holder_that_cannot_renew_stops_before_another_can_begin() -> None:
    server, clock = Server(), Clock()
    one = lease(server, "one", clock)
    assert one.hold()
    server.down = True
    clock.now += 8
    assert one.hold()  # still its own, and the server may come back
    clock.now += 4
    assert not one.hold()
    assert not one.held


def test_a_lease_that_was_given_up_is_free_at_once() -> None:
    server, clock = Server(), Clock()
    one, two = lease(server, "one", clock), lease(server, "two", clock)
    assert one.hold()
    one.release()
    assert two.hold()
    one.release()
    assert server.seen[-1] == "two"


def test_of_two_who_take_it_at_once_one_gets_it() -> None:
    server, clock = Server(), Clock()
    one, two = lease(server, "one", clock), lease(server, "two", clock)
    assert one.hold()
    one.release()
    before = server.lease("", "")
    assert one.hold()
    server.lease = lambda *_: before  # type: ignore[method-assign] # what two has read a moment ago
    assert not two.hold()
