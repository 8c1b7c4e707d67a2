"""A script played to this project's rollout: the real driver, machine, store, hooks and metrics; edge and arms played.

The clock is the script's own: one tick of the driver for each of the script's, an interval apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cluster.parity.fakes import Answers
from cluster.parity.script import INTERVAL, Script, World
from cluster.parity.trace import Call, Tick, Trace, deduplicated
from coalmine.records import ReleaseId, Slot, Split
from coalmine.rollout.canary import Canary, load_canary
from coalmine.rollout.hooks import HookClient
from coalmine.rollout.run import Rollout
from coalmine.rollout.state import READY, ArmStatus, Health, Spec, State, Target, tenants_of
from coalmine.rollout.store import SqliteStore

MODEL = "sentiment"
_BASE = "http://judge.coalmine:8090"  # as the Canary files write it; resolved to the fake by the service table


@dataclass
class Stage:
    """Edge, arms and clock. An arm is as ready as the script says of its role."""

    now: float = 0.0
    world: World = field(default_factory=World)
    rollout: Rollout | None = None

    def apply(self, split: Split) -> None:
        pass

    def ensure(self, slot: Slot, release: ReleaseId, faults: str) -> None:
        pass

    def stop(self, slot: Slot) -> None:
        pass

    def ready(self, slot: Slot) -> ArmStatus:
        primary = self.rollout is not None and slot is self.rollout.state.primary_slot
        is_ready = self.world.primary if primary else self.world.canary
        return READY if is_ready else ArmStatus(Health.NOT_READY, "as the script says")


class StageClock:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def now(self) -> float:
        return self._stage.now


def play(script: Script, answers: Answers, folder: Path, *, moments: Sequence[float] = (0.0,)) -> Trace:
    """The script's trace. `moments`: when the driver runs within a tick, in seconds after its start."""
    stage = Stage()
    store = SqliteStore(folder / f"{script.name}.db")
    ticks = []
    with HookClient({"judge.coalmine:8090": f"127.0.0.1:{answers.port}"}, pause=lambda _seconds: None) as caller:
        rollout = Rollout(
            MODEL, store=store, edge=stage, arms=stage, clock=StageClock(stage), caller=caller, drain_seconds=0
        )
        stage.rollout = rollout
        read, canary = script.canary(_BASE, script.world(0)), _canary(script, script.world(0))
        for number in range(script.ticks):
            stage.world = world = script.world(number)
            answers.show(script, world)
            if (written := script.canary(_BASE, world)) != read:
                canary, read = _canary(script, world), written  # takes longer than the tick
            target = _target(script, world, canary)
            for moment in moments:
                stage.now = number * INTERVAL + moment
                rollout.tick(target)
            ticks.append(_tick(rollout.state, answers.calls(script.name)))
    phases = [event.text for event in store.events(MODEL) if event.kind == "phase"]
    return Trace(tuple(ticks), deduplicated(phases))


def _tick(state: State, calls: tuple[Call, ...]) -> Tick:
    runs = tenants_of(state)[state.primary_slot]
    primary = f"v{runs.release.version}" if runs else ""
    return Tick(str(state.phase or ""), state.weight, state.failed_checks, primary, calls)


def _target(script: Script, world: World, canary: Canary) -> Target:
    version = int(world.release.removeprefix("v"))
    release = ReleaseId(version, "abcdef0")
    return Target(Spec(release), f"commit-{version}", 0.0, canary, script.terms)


def _canary(script: Script, world: World) -> Canary:
    documents: list[dict[str, Any]] = [script.canary(_BASE, world), *script.templates(_BASE)]
    files = {
        f"flagger/{MODEL}/kustomization.yaml": "resources: [all.yaml]\n",
        f"flagger/{MODEL}/all.yaml": yaml.safe_dump_all(documents),
    }
    return load_canary(files, MODEL, overlay="")
