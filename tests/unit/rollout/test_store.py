"""The state on disk: it reads back equal, and nothing is written by half."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from coalmine.errors import Broken
from coalmine.records import Ending, Outcome, Phase, ReleaseId, Slot
from coalmine.rollout.state import Event, Spec, State, Terms
from coalmine.rollout.store import Saved, SqliteStore, state_from, state_to

SPECS = [Spec(ReleaseId(n, "abcdef0"), "delay_ms=5" if n % 2 else "") for n in range(1, 6)]
FULL = State(
    phase=Phase.WAITING_PROMOTION,
    weight=50,
    failed_checks=1,
    applied=SPECS[0],
    primary_slot=Slot.GREEN,
    primary=SPECS[1],
    candidate=SPECS[2],
    previous=SPECS[3],
    leaving=SPECS[4],
    leave_at=1.5,
    epoch=7,
    attempt=3,
    commit="c",
    started=1.0,
    since=2.0,
    arm_started=True,
    served=True,
    was_ready=True,
    unready_since=3.0,
    silent_since=4.0,
    promoted=5.0,
    bake_until=6.0,
    farewell=Phase.FAILED,
    verdict="v",
    waiting_for="w",
)
ENDING = Ending("m", 3, SPECS[2].release, None, Outcome.ROLLED_BACK, "why", "c", 1.0, 2.0)


def test_every_field_of_a_state_reads_back_equal() -> None:
    assert all(getattr(FULL, item.name) != getattr(State(), item.name) for item in fields(State))
    assert state_from(state_to(FULL)) == FULL
    assert state_from(state_to(State())) == State()


def test_state_events_and_ending_are_there_after_a_restart(tmp_path: Path, make_canary: Callable[..., Any]) -> None:
    saved = Saved(FULL, make_canary(), Terms(1, 2))
    events = [Event("weight", weight=10, attempt=3, t=1.0), Event("note", "hello", attempt=2, t=2.0)]
    SqliteStore(tmp_path / "c.db").save("m", saved, events=events, ending=ENDING)
    store = SqliteStore(tmp_path / "c.db")
    assert store.load("m") == saved
    assert [(e.kind, e.weight, e.t) for e in store.events("m", attempt=3)] == [("weight", 10, 1.0)]
    assert len(store.events("m")) == 2
    assert store.endings("m") == [ENDING]
    assert store.endings("m", after=3) == store.endings("other") == []


def test_an_attempt_has_one_ending_on_disk(tmp_path: Path, make_canary: Callable[..., Any]) -> None:
    store = SqliteStore(tmp_path / "c.db")
    saved = Saved(State(), make_canary(), Terms())
    store.save("m", saved, ending=ENDING)
    store.save("m", saved, ending=replace(ENDING, outcome=Outcome.PROMOTED))
    assert store.endings("m") == [ENDING]


def test_a_row_that_cannot_be_read_is_said_to_be_broken(tmp_path: Path, make_canary: Callable[..., Any]) -> None:
    store = SqliteStore(tmp_path / "c.db")
    store.save("m", Saved(State(), make_canary(), Terms()))
    db = sqlite3.connect(tmp_path / "c.db")
    db.execute('UPDATE rollout SET state = \'{"phase": "Dancing"}\'')
    db.commit()
    db.close()
    with pytest.raises(Broken, match="cannot be read"):
        store.load("m")


def test_a_file_that_is_no_database_is_said_to_be_broken(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_text("hello " * 1000)
    with pytest.raises(Broken, match="damaged"):
        SqliteStore(tmp_path / "c.db")
