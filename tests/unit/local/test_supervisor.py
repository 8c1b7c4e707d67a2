"""What should run, runs: with real processes that do nothing but wait."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from coalmine.local import process
from coalmine.local.supervisor import Part, Supervisor

WAITING = Part("waiting", [str(shutil.which("sleep")), "60"], {"PATH": os.environ["PATH"]})


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "run", tmp_path / "logs", [WAITING])
    yield made
    if (record := process.read(made.folder, WAITING.name)) is not None:
        process.stop(record)


def _pid(supervisor: Supervisor) -> int:
    record = process.read(supervisor.folder, WAITING.name)
    return record.pid if record is not None and process.alive(record) else 0


def test_a_part_that_dies_is_started_again(supervisor: Supervisor) -> None:
    supervisor.reconcile()
    first = _pid(supervisor)
    os.kill(first, 9)
    deadline = time.monotonic() + 30
    while _pid(supervisor) in {0, first} and time.monotonic() < deadline:
        supervisor.reconcile()
    assert _pid(supervisor) not in {0, first}


def test_a_held_part_is_not_started_until_it_may(supervisor: Supervisor) -> None:
    supervisor.reconcile(hold=(WAITING.name,))
    assert _pid(supervisor) == 0
    supervisor.reconcile()
    assert _pid(supervisor)


def test_a_running_part_is_not_ended_by_a_hold(supervisor: Supervisor) -> None:
    supervisor.reconcile()
    first = _pid(supervisor)
    supervisor.reconcile(hold=(WAITING.name,))
    assert _pid(supervisor) == first


@pytest.mark.parametrize("reads", ["", "another configuration"], ids=["the-same", "configured-anew"])
def test_another_life_adopts_what_it_would_start_the_same_way(supervisor: Supervisor, reads: str) -> None:
    """Also where only a file has changed that the command names."""
    supervisor.reconcile()
    first = _pid(supervisor)
    later = Supervisor(supervisor.folder, supervisor.logs, [replace(WAITING, reads=reads)])
    later.reconcile()
    assert (_pid(later) == first) is not bool(reads)
