"""The driver over the real SQLite store and the edge's real split folder: what survives the death of the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from coalmine.edge.split import current_split, write_split
from coalmine.records import Outcome, Phase, Split
from coalmine.rollout.run import Rollout
from coalmine.rollout.state import Answer, Said
from coalmine.rollout.store import SqliteStore


class Disk:
    """`run.Edge` over a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def apply(self, split: Split) -> None:
        write_split(self.folder, split)


class Clock:
    def __init__(self, world: Any) -> None:
        self.world = world

    def now(self) -> float:
        return float(self.world.now)


def test_each_tick_may_be_the_last_of_its_process(tmp_path: Path, new_story: Callable[[], Any]) -> None:
    story = new_story()
    world = story.world
    world.judge = lambda ask, _world: Answer(Said.NO if ask.kind == "rollback" else Said.YES, ask.kind)

    def fresh() -> Rollout:
        return Rollout(
            "m",
            store=SqliteStore(tmp_path / "coalmine.db"),
            edge=Disk(tmp_path / "edge"),
            arms=world,
            clock=Clock(world),
            caller=world,
            drain_seconds=3,
        )

    weights = []
    for version, seconds in ((1, 3), (2, 16)):
        story.push(version)
        for _ in range(seconds):
            fresh().tick(story.target)  # a new process each time
            split = current_split(tmp_path / "edge")
            assert split is not None
            weights.append(split.weight)
            world.now += 1
    store = SqliteStore(tmp_path / "coalmine.db")
    assert sorted(set(weights)) == [0, 10, 50]
    assert [(e.attempt, e.outcome) for e in store.endings("m")] == [(1, Outcome.FIRST_RELEASE), (2, Outcome.PROMOTED)]
    split = current_split(tmp_path / "edge")
    assert split is not None
    assert (str(split.primary), split.canary, split.weight) == ("m2-abcdef0", None, 0)
    saved = store.load("m")
    assert saved is not None
    assert saved.state.phase is Phase.SUCCEEDED
    kinds = [event.kind for event in store.events("m", attempt=2)]
    assert [kind for kind in kinds if kind in {"push_seen", "arm_started", "ready"}] == [
        "push_seen",
        "arm_started",
        "ready",
    ]
