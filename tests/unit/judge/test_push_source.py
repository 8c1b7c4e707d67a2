"""Pushed outcomes: acknowledged when they are kept, counted once, and told early where they fit no policy."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from coalmine.errors import BadInput
from coalmine.judge.policy import Policy, load_policy
from coalmine.judge.sources import Outcomes, Position
from coalmine.judge.sources.bodies import Pushed
from coalmine.judge.sources.push import KEPT, Push, accept, check
from coalmine.judge.store import Store

NOW = 1_000_000.0
POLICY = load_policy(
    json.dumps(
        {
            "metrics": {
                "fallbacks": {"kind": "counts"},
                "mix": {"classes": ["a", "b"]},
                "rating": {"kind": "score", "low": 1, "high": 5},
                "memory": {"kind": "resource", "limit": 150, "window_seconds": 10},
            }
        }
    )
)


@pytest.fixture
def engine(database: str) -> Iterator[sa.Engine]:
    """The judge's own database, as its store opens it."""
    store = Store(database if "://" in database else f"sqlite:///{database}")
    yield store.engine
    store.close()


def pushed(*outcomes: dict[str, Any], name: str = "m") -> Pushed:
    whole = [{"id": f"e{i}", "t": NOW, "metric": "errors", "arm": "canary", **one} for i, one in enumerate(outcomes)]
    return Pushed.model_validate({"namespace": "n", "name": name, "outcomes": whole})


class Reader:
    """What is new; `restarted` keeps the position alone, through JSON."""

    def __init__(self, engine: sa.Engine, policy_of: Callable[[str, str], Policy | None] | None = None) -> None:
        self.engine, self.policy_of = engine, policy_of or (lambda _, name: POLICY if name == "m" else None)
        self.skipped = 0
        self.position: Position | None = None
        self.restarted()
        self.position = self.source.read(None).position

    def restarted(self) -> None:
        self.position = json.loads(json.dumps(self.position))
        self.source = Push(self.engine, self.policy_of)

    def read(self) -> list[Outcomes]:
        batch = self.source.read(self.position)
        self.position, self.skipped = batch.position, self.skipped + batch.skipped
        return list(batch.items)


def test_an_id_counts_once_however_often_it_is_pushed(engine: sa.Engine) -> None:
    """Also within one body, from several senders at once, and after a restart of the reader."""
    reader = Reader(engine)
    body = pushed({"id": "a", "n": 10, "bad": 1}, {"id": "b", "n": 5, "bad": 0}, {"id": "a", "n": 10, "bad": 1})
    assert accept(engine, body, now=NOW) == (2, 1)
    threads = [threading.Thread(target=accept, args=(engine, body), kwargs={"now": NOW}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(one.arm, one.n, one.e) for one in reader.read()] == [("canary", 10, 1), ("canary", 5, 0)]
    reader.restarted()
    assert accept(engine, body, now=NOW) == (0, 3)
    assert reader.read() == []
    assert accept(engine, pushed({"id": "a", "n": 1, "bad": 0}, name="other"), now=NOW) == (1, 0)
    assert reader.read() == []  # nobody judges that one


def test_what_was_pushed_before_the_judge_is_nobodys_canary(engine: sa.Engine) -> None:
    """The first reading only finds the end."""
    Reader(engine)
    accept(engine, pushed({"n": 10, "bad": 1}), now=NOW)
    reader = Reader(engine)
    assert reader.read() == []
    accept(engine, pushed({"id": "later", "n": 1, "bad": 1}), now=NOW)
    assert [one.n for one in reader.read()] == [1]


def test_senders_at_once_lose_nothing_to_a_reader_that_reads_on(engine: sa.Engine) -> None:
    """Numbers become visible in their order."""
    reader = Reader(engine)

    def send(who: int) -> None:
        for i in range(20):
            accept(engine, pushed({"id": f"{who}-{i}", "n": 1, "bad": 0}), now=NOW)

    threads = [threading.Thread(target=send, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    found = 0
    while any(thread.is_alive() for thread in threads):
        found += len(reader.read())
    for thread in threads:
        thread.join()
    assert found + len(reader.read()) == 80


def test_old_rows_go_and_their_numbers_do_not_come_again(engine: sa.Engine) -> None:
    """The reader's position stays true."""
    reader = Reader(engine)
    accept(engine, pushed({"id": "old", "n": 1, "bad": 0}), now=NOW)
    assert len(reader.read()) == 1
    accept(engine, pushed({"id": "new", "n": 2, "bad": 0}), now=NOW + KEPT + 1)
    assert [one.n for one in reader.read()] == [2]
    with engine.connect() as link:
        assert link.execute(sa.text("SELECT count(*) FROM pushed")).scalar_one() == 1


def test_each_kind_becomes_what_its_polls_hold(engine: sa.Engine) -> None:
    """A mix by class, a score in millionths of badness, events over an exposure."""
    reader = Reader(engine)
    body = pushed(
        {"metric": "mix", "classes": {"a": 7, "b": 1, "c": 2}},
        {"metric": "rating", "n": 2, "sum": 8.0, "squares": 34.0},  # 3 and 5
        {"metric": "fallbacks", "n": 4, "events": 9},
        {"metric": "latency", "n": 3, "bad": 1, "weight": 20, "release": "v2"},
    )
    check(body, POLICY)
    accept(engine, body, now=NOW)
    found = [(one.metric, one.part, one.n, one.e, one.q) for one in reader.read()]
    assert found == [
        ("mix", "a", 10, 7, 0), ("mix", "b", 10, 1, 0), ("rating", "", 2, 500_000, 250_000),
        ("fallbacks", "", 4, 9, 0), ("latency", "", 3, 1, 0),
    ]  # fmt: skip


def test_samples_become_limits_and_growth_whatever_restarts(engine: sa.Engine) -> None:
    """The position holds the open window."""
    reader = Reader(engine)
    found: list[Outcomes] = []
    for step in range(3):
        for arm, leak in (("canary", 30), ("primary", 0)):
            sample = {
                "id": f"{arm}{step}", "t": NOW + 10 * step, "metric": "memory", "arm": arm, "value": 100 + leak * step,
            }  # fmt: skip
            accept(engine, pushed(sample), now=NOW + 100)
            found += reader.read()
            reader.restarted()
    sums = {(arm, part): [0, 0] for arm in ("canary", "primary") for part in ("limit", "growth")}
    for one in found:
        sums[one.arm, one.part][0] += one.n
        sums[one.arm, one.part][1] += one.e
    assert sums["canary", "limit"] == [3, 1]
    assert sums["primary", "limit"] == [3, 0]
    assert sums["canary", "growth"] == [2, 2]
    assert sums["primary", "growth"] == [2, 0]


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ({"metric": "errrors", "n": 1, "bad": 0}, "no metric 'errrors'; it has errors"),
        ({"metric": "errors", "n": 1, "events": 0}, "push bad"),
        ({"metric": "latency", "part": "0.7", "n": 1, "bad": 0}, "no part '0.7'"),
        ({"metric": "errors", "part": "x", "n": 1, "bad": 0}, "without a part"),
        ({"metric": "rating", "n": 2, "sum": 40.0, "squares": 900.0}, "outside 1 to 5"),
        ({"metric": "rating", "n": 2, "sum": 8.0, "squares": 64.0}, "squares does not fit"),
        ({"metric": "memory", "n": 2, "bad": 1}, "push value"),
    ],
)
def test_what_fits_no_policy_is_told_and_passed_over(engine: sa.Engine, outcome: dict[str, Any], says: str) -> None:
    """Where it is pushed all the same, it is counted as skipped and hurts nothing."""
    with pytest.raises(BadInput, match=says) as caught:
        check(pushed(outcome), POLICY)
    assert caught.value.where == "outcomes.0"
    reader = Reader(engine)
    accept(engine, pushed(outcome, {"n": 3, "bad": 0}), now=NOW)
    assert [one.n for one in reader.read()] == [3]
    assert reader.skipped == 1


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ({}, "give one of"),
        ({"n": 1, "bad": 1, "events": 1}, "bad and events"),
        ({"n": 1, "bad": 2}, "above n"),
        ({"events": 2}, "exposure"),
        ({"n": 1, "sum": 2.0}, "belong together"),
        ({"n": -1, "bad": 0}, "greater than or equal"),
        ({"n": 1.5, "bad": 0}, "valid integer"),
        ({"n": 1, "bad": 0, "arm": "blue"}, "'primary' or 'canary'"),
        ({"n": 1, "bad": 0, "weight": 101}, "less than or equal"),
        ({"n": 1, "bad": 0, "id": "a\0"}, "match pattern"),
        ({"n": 1, "bad": 0, "t": float("nan")}, "finite|greater than"),
        ({"n": 1, "bad": 0, "colour": "red"}, "not permitted"),
    ],
)
def test_a_body_that_contradicts_itself_is_refused_in_words(outcome: dict[str, Any], says: str) -> None:
    """By the model alone, whatever route it comes by."""
    with pytest.raises(ValidationError, match=says):
        pushed(outcome)


def test_a_time_in_the_future_is_refused_whole(engine: sa.Engine) -> None:
    """It would look fresh for ever."""
    reader = Reader(engine)
    with pytest.raises(BadInput, match="in the future"):
        accept(engine, pushed({"n": 1, "bad": 0}, {"t": NOW + 3600, "n": 1, "bad": 0}), now=NOW)
    assert reader.read() == []


def test_a_push_waits_for_the_disk(database: str) -> None:
    """Polls can be read again after a power cut, a push cannot: SQLite syncs at this commit, and only at this one."""
    store = Store(f"sqlite:///{database}") if "://" not in database else Store(database)
    if store.engine.dialect.name != "sqlite":
        store.close()
        return
    said: list[str] = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *given: said.append(given[2]))
    Push(store.engine, lambda *_: None)
    accept(store.engine, pushed({"n": 1, "bad": 0}), now=NOW)
    store.close()
    full, written, normal = (
        next(i for i, text in enumerate(said) if text.startswith(wanted))
        for wanted in ("PRAGMA synchronous=2", "INSERT INTO pushed", "PRAGMA synchronous=1")
    )
    assert full < written < normal
