"""A source that hangs or fails is no data, and nobody waits for it: neither the pass nor a hook."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine.errors import BadInput
from coalmine.judge import prometheus, service
from coalmine.judge.desk import Desk
from coalmine.judge.hooks import Payload
from coalmine.judge.lease import Lease
from coalmine.judge.patient import Patient
from coalmine.judge.readers import Readers
from coalmine.judge.routes_hooks import answer
from coalmine.judge.sources import Batch, Line, Position
from coalmine.judge.sources.accesslog import AccessLog
from coalmine.judge.store import Store, database_url
from coalmine.judge.tally import Tally
from unit.judge.running import line

PAYLOAD = Payload(name="b", namespace="a", checksum="c")


class Hung:
    """A log that is read as it should, once the disk lets it."""

    def __init__(self, path: Path) -> None:
        self._log, self.free, self.reads = AccessLog(path), threading.Event(), 0
        self.free.set()

    def read(self, position: Position | None) -> Batch[Line]:
        self.reads += 1
        assert self.free.wait(60)
        return self._log.read(position)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Hung]:
    (tmp_path / "access.jsonl").touch()
    made = Hung(tmp_path / "access.jsonl")
    yield made
    made.free.set()


@pytest.fixture
def desk(tmp_path: Path, log: Hung) -> Iterator[Desk]:
    store, tally = Store(database_url(str(tmp_path / "judge.db"))), Tally()
    readers = Readers(log=log, failed=lambda source: tally.source_failures.labels(source).inc())
    made = Desk(store, readers, lease=Lease(store.engine, "one"), tally=tally)
    made.tick()
    yield made
    made.close()


def test_a_hook_is_answered_while_the_log_hangs_and_nothing_is_lost(desk: Desk, log: Hung, tmp_path: Path) -> None:
    """The disk under the log hangs: the rollout's controller must not. What was written meanwhile is counted once."""
    assert answer(desk, "pre-rollout", PAYLOAD)[0] == 200
    log.free.clear()
    arms = (("canary", "m2"), ("primary", "m1"))
    lines = [line(5e9 + i / 50, arm, release) for i in range(200) for arm, release in arms]
    (tmp_path / "access.jsonl").write_text("".join(lines))
    reads = log.reads
    for _ in range(5):
        assert answer(desk, "rollout", PAYLOAD)[0] == 200
        assert answer(desk, "rollback", PAYLOAD)[0] == 409
    assert log.reads == reads + 1, "one question at a time"
    exposed = prometheus.exposition(desk).decode()
    assert 'coalmine_judge_source_failures_total{source="log"} 1.0' in exposed
    log.free.set()
    live = desk.live("a", "b")
    assert live is not None
    for _ in range(600):
        desk.tick()
        if live.counting.routed:
            break
        threading.Event().wait(0.05)
    desk.tick()
    assert live.counting.routed == {"10": 200}


def test_ten_thousand_failures_in_one_look_are_judged_and_hooks_go_on(desk: Desk, tmp_path: Path) -> None:
    """All requests of one moment fail: the law of such a poll has ten thousand terms on each point of the grid."""
    assert answer(desk, "pre-rollout", PAYLOAD)[0] == 200
    arms = (("canary", "m2", 500), ("primary", "m1", 200))
    for start in (0, 40):  # the second moment cuts the first
        rows = (line(5e9 + start, arm, rel, status=code) for arm, rel, code in arms for _ in range(10_000))
        with (tmp_path / "access.jsonl").open("a") as log:
            log.write("".join(rows))
    for _ in range(20):
        desk.tick()
    status, text = answer(desk, "rollback", PAYLOAD)
    assert (status, "10,000 of 10,000" in text.replace("10000", "10,000")) == (200, True), text


def test_what_a_source_raises_is_told_once_and_read_again() -> None:
    failed: list[str] = []
    broken = [OSError("stale handle"), OSError("stale handle"), None]

    def read(question: int) -> int:
        if error := broken.pop(0):
            raise error
        return question + 1

    patient = Patient("log", read, failed=failed.append)
    assert [patient.ask(1), patient.ask(1), patient.ask(1)] == [None, None, 2]
    assert failed == ["log", "log"]


def test_a_late_answer_to_another_question_is_not_taken() -> None:
    """The position went back, since a commit failed: what was read from the old one would leave a gap."""
    free = threading.Event()

    def read(question: int) -> int:
        assert free.wait(60)
        return question

    patient = Patient("log", read, failed=lambda _: None, seconds=0.01)
    assert patient.ask(7) is None
    free.set()
    answers = []
    for _ in range(600):
        answers.append(patient.ask(3))
        if answers[-1] is not None:
            break
        threading.Event().wait(0.01)
    assert answers[-1] == 3
    assert 7 not in answers


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "a judge without a source sees nothing"),
        ({"prometheus": "prometheus:9090"}, "no http"),
        ({"access_log": Path("x"), "lease_seconds": 0.1}, "too short a lease"),
    ],
)
def test_options_that_cannot_be_right_are_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        service.check(service.Options(database="x", **given))  # type: ignore[arg-type] # wrong on purpose


def test_a_policy_that_reads_prometheus_needs_one(tmp_path: Path) -> None:
    """Else it would wait for data for ever; the first hook of a rollout says it."""
    (tmp_path / "a.b.yaml").write_text("prometheus: {profile: istio}\n")
    made = service.open_desk(database=str(tmp_path / "judge.db"), policies=tmp_path)
    status, text = answer(made, "confirm-rollout", PAYLOAD)
    assert (status, "--prometheus" in text) == (409, True)
    made.close()
