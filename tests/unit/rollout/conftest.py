"""Builders for the rollout's tests: a Canary from YAML text, targets, and a world of in-memory edge, arms and judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import yaml

from coalmine.records import Ending, Phase, ReleaseId, Slot, Split
from coalmine.rollout.canary import Canary, load_canary
from coalmine.rollout.run import Rollout
from coalmine.rollout.state import READY, Answer, ArmStatus, Ask, Event, Health, Said, Spec, Target, Terms
from coalmine.rollout.store import Saved, state_from, state_to

HOOKS = ("confirm-rollout", "pre-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback", "post-rollout")
HEAD = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "m", "namespace": "m"}}
KUSTOMIZATION = "resources: [canary.yaml, metrictemplates.yaml]\n"
TEMPLATE = """\
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: gross, namespace: m}
spec:
  provider: {type: prometheus, address: "http://judge.coalmine:8090"}
  query: share{namespace="{{ namespace }}", name="{{ target }}", window="{{ interval }}"}
"""


def canary_of(*, hooks: Sequence[str] = HOOKS, spec: dict[str, Any] | None = None, **analysis: Any) -> Canary:
    """A legal Canary; `analysis` overrides its fields, None takes one out."""
    given: dict[str, Any] = {
        "interval": "1s",
        "threshold": 2,
        "stepWeights": [10, 50],
        "webhooks": [{"name": kind, "type": kind, "url": f"http://judge.coalmine:8090/hooks/{kind}"} for kind in hooks],
        **analysis,
    }
    document = {
        **HEAD,
        "spec": {
            "provider": "gatewayapi:v1",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "m"},
            "service": {"port": 8443},
            "progressDeadlineSeconds": 30,
            "analysis": {key: value for key, value in given.items() if value is not None},
            **(spec or {}),
        },
    }
    files = {
        "flagger/m/kustomization.yaml": KUSTOMIZATION,
        "flagger/m/canary.yaml": yaml.safe_dump(document),
        "flagger/m/metrictemplates.yaml": TEMPLATE,
    }
    return load_canary(files, "m", overlay="")


def spec_of(version: int, faults: str = "") -> Spec:
    return Spec(ReleaseId(version, "abcdef0"), faults)


class Crash(BaseException):
    """The process dies here."""


@dataclass
class World:
    """Everything outside the driver; it survives the driver's death, as the real edge, arms and disk do."""

    now: float = 1000.0
    split: Split | None = None
    splits: list[Split] = field(default_factory=list)
    tenants: dict[Slot, Spec | None] = field(default_factory=dict)
    since: dict[Slot, float] = field(default_factory=dict)
    never_ready: set[int] = field(default_factory=set)
    saved: tuple[dict[str, Any], Canary, Terms] | None = None
    events: list[Event] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    asked: list[tuple[str, Phase, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    judge: Callable[[Ask, World], Answer] = lambda _ask, _world: Answer(Said.NO, "not yet")
    calls: int = 0
    crash_at: int | None = None
    disk_full: bool = False

    def _live(self, what: str) -> None:
        self.calls += 1
        if self.crash_at is not None and self.calls == self.crash_at:
            self.crash_at = None
            raise Crash(what)
        self.log.append(what)

    # Edge
    def apply(self, split: Split) -> None:
        self._live(f"edge {split.weight}")
        if split != self.split:
            self.split = split
            self.splits.append(split)
        self._live("edge done")

    # Arms
    def ensure(self, slot: Slot, release: ReleaseId, faults: str) -> None:
        self._live(f"ensure {slot} {release}")
        if self.tenants.get(slot) != Spec(release, faults):
            self.tenants[slot] = Spec(release, faults)
            self.since[slot] = self.now

    def ready(self, slot: Slot) -> ArmStatus:
        spec = self.tenants.get(slot)
        if spec is None or spec.release.version in self.never_ready or self.now < self.since[slot] + 1:
            return ArmStatus(Health.NOT_READY, "loading")
        return READY

    def stop(self, slot: Slot) -> None:
        self._live(f"stop {slot}")
        self.tenants[slot] = None

    # Caller
    def ask(self, ask: Ask, _canary: Canary) -> Answer:
        self._live(f"ask {ask.kind}")
        self.asked.append((ask.kind, ask.phase, ask.checksum))
        return self.judge(ask, self)

    def tell(self, event: Event, _canary: Canary, *, phase: Phase | None, checksum: str) -> bool:
        self._live(f"tell {phase} {checksum}")
        self.notes.append(event.text)
        return True

    # Store
    def load(self, _model: str) -> Saved | None:
        return Saved(state_from(self.saved[0]), *self.saved[1:]) if self.saved else None

    def save(self, _model: str, saved: Saved, *, events: Sequence[Event] = (), ending: Ending | None = None) -> None:
        self._live("save")
        if self.disk_full:
            raise OSError("no space left on device")
        self.saved = (state_to(saved.state), saved.canary, saved.terms)
        self.events += events
        self.endings += [ending] if ending else []
        self._live("saved")


class Clock:
    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        return self._world.now


@dataclass
class Story:
    """A world with a driver in it; `push` names a release, `run` lets seconds pass."""

    canary: Canary
    world: World = field(default_factory=World)
    terms: Terms = field(default_factory=lambda: Terms(bake_seconds=5, silence_seconds=20))
    target: Target | None = None
    rollout: Rollout | None = None

    def start(self) -> Rollout:
        w = self.world
        self.rollout = Rollout("m", store=w, edge=w, arms=w, clock=Clock(w), caller=w, drain_seconds=3)
        return self.rollout

    def push(self, version: int, faults: str = "") -> None:
        spec = spec_of(version, faults)
        self.target = Target(spec, f"c{version}", self.world.now, self.canary, self.terms)

    def configure(self, canary: Canary) -> None:
        self.canary = canary
        if self.target:
            self.target = replace(self.target, canary=canary)

    def run(self, seconds: float, *, every: float = 0.5) -> None:
        for _ in range(int(seconds / every)):
            try:
                (self.rollout or self.start()).tick(self.target)
            except Crash:
                self.rollout = None
            self.world.now += every

    @property
    def phase(self) -> Phase | None:
        saved = self.world.load("m")
        return saved.state.phase if saved else None


@pytest.fixture
def make_canary() -> Callable[..., Canary]:
    return canary_of


@pytest.fixture
def story() -> Story:
    """A story in which release 1 serves and the judge says "not yet" to all."""
    started = Story(canary_of())
    started.push(1)
    started.run(4)
    assert started.phase is Phase.INITIALIZED
    return started


@pytest.fixture
def new_story() -> Callable[..., Story]:
    return lambda canary=None: Story(canary or canary_of())


@pytest.fixture
def spec() -> Callable[..., Spec]:
    return spec_of
