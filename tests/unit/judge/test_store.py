"""The judge's database, on SQLite and on a real PostgreSQL: append-only, whole or not at all, upgraded in place."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from coalmine.errors import BadInput
from coalmine.judge.lease import Lease, Standby
from coalmine.judge.service import open_desk
from coalmine.judge.store import Counted, Said, Store, database_url
from coalmine.judge.tables import VERSION
from coalmine.records import Poll

OLD = """
CREATE TABLE analyses (id INTEGER NOT NULL, namespace VARCHAR NOT NULL, name VARCHAR NOT NULL,
 checksum VARCHAR NOT NULL, attempt INTEGER NOT NULL, status VARCHAR NOT NULL, outcome VARCHAR NOT NULL,
 opened DOUBLE NOT NULL, ended DOUBLE, final TEXT NOT NULL, policy TEXT NOT NULL, counting TEXT NOT NULL,
 granted TEXT NOT NULL, PRIMARY KEY (id), UNIQUE (namespace, name, checksum, attempt));
CREATE TABLE polls (id INTEGER NOT NULL, analysis INTEGER NOT NULL, t DOUBLE NOT NULL, metric VARCHAR NOT NULL,
 n_c BIGINT NOT NULL, e_c BIGINT NOT NULL, n_b BIGINT NOT NULL, e_b BIGINT NOT NULL, step BIGINT NOT NULL,
 PRIMARY KEY (id), FOREIGN KEY(analysis) REFERENCES analyses (id));
CREATE TABLE events (id INTEGER NOT NULL, analysis INTEGER, t DOUBLE NOT NULL, kind VARCHAR NOT NULL,
 answer INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (id));
CREATE TABLE readers (source VARCHAR NOT NULL, position TEXT NOT NULL, PRIMARY KEY (source));
INSERT INTO analyses VALUES (1, 'a', 'b', 'c', 1, 'open', '', 5.0, NULL, '', '', '{}', '{}');
INSERT INTO polls VALUES (1, 1, 6.0, 'errors', 10, 1, 90, 2, 10);
INSERT INTO readers VALUES ('log', '{"inode": 7}');
"""
FIRST = Poll(6.0, "errors", n_c=10, e_c=1, n_b=90, e_b=2, step=10)


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    made = Store(database_url(database))
    yield made
    made.close()


def opened(store: Store, checksum: str = "c") -> int:
    return store.open("a", "b", checksum, opened=1.0, policy="", counting="{}").id


def test_polls_come_back_as_they_were_cut_with_parts_and_squares(store: Store) -> None:
    """Sums of squares of a score go beyond 32 bits."""
    number = opened(store)
    polls = (FIRST, Poll(7.5, "score", n_c=3, e_c=2_000_000, n_b=4, e_b=5, part="0.1", q_c=1 << 40, q_b=9))
    store.commit({"log": {"inode": 1, "offset": 2}}, [Counted(number, '{"x": 1}', polls)])
    store.commit({"log": {"inode": 1, "offset": 3}}, [Counted(number, '{"x": 2}', (FIRST,))])
    assert store.polls(number) == [*polls, FIRST]
    assert store.polls(number, after=2) == [FIRST]
    assert store.positions() == {"log": {"inode": 1, "offset": 3}}
    found = store.analysis(number)
    assert found is not None
    assert found.counting == '{"x": 2}'


def test_a_commit_happens_whole_or_not_at_all(store: Store) -> None:
    """A poll that the database refuses takes the position with it: its lines are read again."""
    number = opened(store)
    store.commit({"log": {"offset": 1}})
    broken = Poll(1.0, None, n_c=1, e_c=0, n_b=1, e_b=0)  # type: ignore[arg-type] # what the database must refuse
    with pytest.raises(SQLAlchemyError):
        store.commit({"log": {"offset": 2}}, [Counted(number, "{}", (FIRST, broken))])
    assert store.positions() == {"log": {"offset": 1}}
    assert store.polls(number) == []


def test_the_same_checksum_again_is_the_next_attempt(store: Store) -> None:
    rows = [store.open("a", "b", checksum, opened=1.0, policy="", counting="{}") for checksum in "xxy"]
    assert [row.attempt for row in rows] == [1, 2, 1]
    store.update(rows[0].id, status="closed")
    assert [row.id for row in store.analyses(running=True)] == [rows[2].id, rows[1].id]
    assert store.analysis(1 << 40) is None


def test_overrides_are_kept_in_order_and_told_among_the_events(store: Store) -> None:
    number = opened(store)
    said = [Said(number, t, action, "ann", "because") for t, action in ((1.0, "hold"), (2.0, "clear"))]
    for one in said:
        store.override(one)
    assert store.overrides(number) == said
    assert [event["kind"] for event in store.events(number)] == ["override-hold", "override-clear"]


def test_one_holds_the_lease_and_another_gets_it_when_it_is_given_up(store: Store) -> None:
    first, second = Lease(store.engine, "one", seconds=60), Lease(store.engine, "two", seconds=60)
    assert (first.hold(), second.hold()) == (True, False)
    assert second.holder() == "one"
    first.release()
    assert (second.hold(), first.hold()) == (True, False)
    assert second.term == 2


def test_a_leader_that_slept_through_its_lease_writes_nothing(store: Store, database: str) -> None:
    """It believes that it leads; the database knows better, in the very transaction."""
    slept, awake = Lease(store.engine, "slept", seconds=0.05), Lease(store.engine, "awake", seconds=60)
    store.guard = slept.guard
    assert slept.hold()
    number = opened(store)
    while not awake.hold():
        pass
    for write in (
        lambda: store.commit({"log": {"offset": 9}}, [Counted(number, "{}", (FIRST,))]),
        lambda: store.override(Said(number, 1.0, "approve", "x", "y")),
        lambda: store.update(number, status="closed"),
        lambda: store.record("event", "", analysis=number, t=1.0, answer=200),
        lambda: opened(store, "d"),
    ):
        with pytest.raises(Standby):
            write()
    again = Store(database_url(database))
    assert (again.polls(number), again.events(number), again.positions(), len(again.analyses())) == ([], [], {}, 1)
    again.close()


def test_the_same_replica_started_again_takes_its_own_lease_back_at_once(store: Store) -> None:
    """And the process before it, should it still live, is fenced off and does not take it back."""
    before, after = Lease(store.engine, "judge", seconds=60), Lease(store.engine, "judge", seconds=60)
    assert (before.hold(), after.hold()) == (True, True)
    with pytest.raises(Standby), store.engine.begin() as link:
        before.guard(link)
    assert not before.hold()


def test_a_file_of_the_first_version_is_upgraded_with_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "judge.db"
    with sqlite3.connect(path) as direct:
        direct.executescript(OLD)
    direct.close()
    for _ in range(2):
        store = Store(database_url(str(path)))
        assert store.polls(1)[0] == FIRST
        assert store.positions() == {"log": {"inode": 7}}
        store.commit({}, [Counted(1, "{}", (Poll(7.0, "s", n_c=1, e_c=1, n_b=1, e_b=1, part="p", q_c=2, q_b=3),))])
        assert store.polls(1)[-1].q_b == 3
        assert Lease(store.engine, "one").hold()
        store.close()


def test_an_analysis_that_ran_under_the_first_version_goes_on(tmp_path: Path) -> None:
    """What was counted and not yet cut is in that version's words."""
    counting = {
        "release": "m2", "hint": "", "baseline": ["m1"], "after_epoch": 0, "epoch": 2, "weight": 10, "seen": 9.0,
        "strangers": 1, "superseded": "", "baking": None, "exposed": 5.0, "over": False, "weights": [[5.0, 2.0, 10.0]],
        "routed": {"10": 28}, "failed": 1,
        "pending": {"errors": {"start": 8.0, "t": 9.0, "epoch": -1, "cells": {"10": [18, 0, 18, 0]}}},
        "slices": {"latency/canary": {"second": 9, "step": 10, "epoch": 2, "n": 14, "slow": 0}},
    }  # fmt: skip
    path = tmp_path / "judge.db"
    with sqlite3.connect(path) as direct:
        direct.executescript(OLD)
        direct.execute("UPDATE analyses SET counting = ?", (json.dumps(counting),))
    direct.close()
    (tmp_path / "log").touch()
    desk = open_desk(database=str(path), access_log=tmp_path / "log")
    desk.tick()
    live = desk.live("a", "b")
    assert live is not None
    assert live.counting.routed == {"10": 28}
    assert [poll.n_c for poll in desk.store.polls(1)] == [10, 18], "its pending poll was cut, and none twice"
    desk.close()


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """A full disk in the middle: the next start finds the old version whole. Here a table is in the way."""
    path = tmp_path / "judge.db"
    with sqlite3.connect(path) as direct:
        direct.executescript(OLD + "CREATE TABLE lease (other INTEGER);")
        before = list(direct.iterdump())
        with pytest.raises(BadInput):
            Store(database_url(str(path)))
        assert list(direct.iterdump()) == before
    direct.close()


def test_a_database_of_a_newer_program_is_refused_and_not_touched(database: str) -> None:
    store = Store(database_url(database))
    with store.engine.begin() as link:
        link.execute(sa.text("UPDATE judge_schema SET version = :v"), {"v": VERSION + 1})
    store.close()
    with pytest.raises(BadInput, match=f"version {VERSION + 1}"):
        Store(database_url(database))


def test_another_kind_of_database_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="mysql"):
        Store("mysql://localhost/x")
