"""Child processes are found again, and only they are ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from coalmine.local import process

FORKS = "import os, time\nos.fork()\nprint(os.getpid(), flush=True)\ntime.sleep(60)"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[tuple[process.Record, subprocess.Popen[bytes]]]:
    record, child = process.start(
        tmp_path / "run",
        "sleeper",
        command=[sys.executable, "-c", FORKS],
        env=dict(os.environ),
        log=tmp_path / "log",
        marks={"release": "m1-abc1234"},
    )
    while len((tmp_path / "log").read_text().split()) < 2:
        time.sleep(0.01)
    yield record, child
    process.stop(record, grace=1)
    child.poll()


def test_a_record_survives_us_and_names_the_very_process(
    sleeper: tuple[process.Record, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    record, _ = sleeper
    assert process.read(tmp_path / "run", "sleeper") == record
    assert process.alive(record)
    assert not process.alive(replace(record, created=record.created - 5)), "the pid alone is not enough"


def test_stopping_ends_the_children_too_even_after_their_parent_was_killed(
    sleeper: tuple[process.Record, subprocess.Popen[bytes]],
) -> None:
    record, child = sleeper
    family = process.session(record)
    assert len(family) == 2
    os.kill(record.pid, signal.SIGKILL)
    child.wait(timeout=5)
    assert not process.alive(record)
    assert process.alive(family[1])
    process.stop(record, grace=1)
    assert not any(process.alive(member) for member in family)


def test_a_pid_that_became_somebody_elses_is_never_touched(
    sleeper: tuple[process.Record, subprocess.Popen[bytes]],
) -> None:
    record, _ = sleeper
    for stale in (replace(record, created=record.created - 100), replace(record, created=psutil.boot_time() - 100)):
        assert process.session(stale) == []
        process.terminate(stale)
        process.stop(stale, grace=0.1)
    assert process.alive(record)


def test_a_renamed_process_has_one_record(
    sleeper: tuple[process.Record, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    record, _ = sleeper
    renamed = process.rename(tmp_path / "run", record, name="arm-green", marks={"release": "m2-abc1234"})
    assert process.read(tmp_path / "run", "sleeper") is None
    assert process.read(tmp_path / "run", "arm-green") == renamed
    assert renamed.pid == record.pid


@pytest.mark.parametrize("torn", ["", "{", '{"name": "x"}', "[]"])
def test_a_torn_record_is_no_record(tmp_path: Path, torn: str) -> None:
    (tmp_path / "part.json").write_text(torn)
    assert process.read(tmp_path, "part") is None
