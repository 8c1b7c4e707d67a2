"""The log reader loses nothing and counts nothing twice, whatever happens to the file."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from coalmine.judge.sources import Line, Position
from coalmine.judge.sources.accesslog import AccessLog, parse


def line(t: float, **more: Any) -> str:
    row = {"t": t, "arm": "canary", "release": "m2-abcdef0", "weight": 10, "epoch": 2, "status": 200, "seconds": 0.5,
           "upstream_status": "200", "upstream_seconds": "0.4", "service_ms": "", "attempt": ""}  # fmt: skip
    return json.dumps({**row, **more}) + "\n"


class Tail:
    """Reads on from where it was; `reopened` forgets all but the position, as a restart does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = AccessLog(path)
        self.position: Position | None = self.log.read(None).position

    def new(self) -> list[float]:
        found: list[float] = []
        for _ in range(4):
            batch = self.log.read(self.position)
            self.position = batch.position
            found += [item.t for item in batch.items]
        return found

    def reopened(self) -> None:
        self.log.close()
        self.log = AccessLog(self.path)


def old(path: Path) -> None:
    os.utime(path, (time.time() - 10, time.time() - 10))


def test_a_log_that_is_not_there_yet_is_read_from_its_beginning(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    assert tail.new() == []
    tail.path.write_text(line(1))
    assert tail.new() == [1]


def test_what_was_there_before_the_judge_is_nobodys_canary(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(line(1) + line(2)[:20])
    tail = Tail(path)
    with path.open("a") as log:
        log.write(line(2)[20:] + line(3))
    assert tail.new() == [2, 3]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    tail.path.write_text(line(1) + line(2)[:30])
    assert tail.new() == [1]
    with tail.path.open("a") as log:
        log.write(line(2)[30:])
    assert tail.new() == [2]


@pytest.mark.parametrize("restart", [False, True])
def test_rotation_finishes_the_old_file_first(tmp_path: Path, restart: bool) -> None:  # noqa: FBT001 (a parameter)
    tail = Tail(tmp_path / "log")
    tail.path.write_text(line(1))
    assert tail.new() == [1]
    with tail.path.open("a") as log:
        log.write(line(2))
    moved = tail.path.rename(tmp_path / "log.1")
    tail.path.write_text(line(3))
    if restart:
        tail.reopened()
    assert tail.new() == [2]
    with moved.open("a") as log:
        log.write(line(2.5))
    assert tail.new() == [2.5]
    old(moved)
    assert tail.new() == [3]


def test_a_rotated_file_that_was_deleted_is_still_read_to_its_end(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    tail.path.write_text(line(1))
    assert tail.new() == [1]
    with tail.path.open("a") as log:
        log.write(line(2))
    old(tail.path)
    tail.path.unlink()
    tail.path.write_text(line(3))
    assert tail.new() == [2, 3]


def test_a_truncated_file_is_read_from_its_beginning_even_when_it_has_grown_past_the_old_place(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    tail.path.write_text(line(1) + line(2))
    assert tail.new() == [1, 2]
    tail.path.write_text(line(7))
    assert tail.new() == [7]
    with tail.path.open("w") as log:
        log.write(line(8, release="m3-abcdef0") + line(9) + line(10))
    assert tail.new() == [8, 9, 10]


def test_a_restart_goes_on_at_the_stored_place(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    tail.path.write_text(line(1))
    assert tail.new() == [1]
    tail.reopened()
    with tail.path.open("a") as log:
        log.write(line(2))
    assert tail.new() == [2]


def test_a_log_that_vanishes_is_no_data(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    tail.path.write_text(line(1))
    assert tail.new() == [1]
    tail.path.unlink()
    assert tail.new() == []


def only(**more: Any) -> list[Line]:
    return list(parse(line(1, **more).encode())[0])


def test_lines_without_an_arm_retries_and_the_edges_own_limit_do_not_count() -> None:
    assert only(arm="") == []
    assert only(attempt="2") == []
    assert only(status=429, upstream_status="") == []
    assert len(only(attempt="1")) == 1
    assert len(only(status=429, upstream_status="429")) == 1


def test_the_services_own_time_is_preferred() -> None:
    assert only(service_ms="1.5")[0].seconds == 0.0015
    assert only()[0].seconds == 0.4
    assert only(upstream_seconds="-")[0].seconds == 0.5
    assert only(upstream_seconds="0.1, 0.3")[0].seconds == 0.3


def test_a_failure_of_the_upstream_is_seen() -> None:
    assert only(upstream_status="502, 504")[0].upstream_failed
    assert not only(upstream_status="502, 200")[0].upstream_failed


def test_what_is_no_json_is_skipped_and_counted() -> None:
    lines, skipped = parse(b'{"t": 1\n\nnull\n[]\n"x"\n' + line(5).encode())
    assert [item.t for item in lines] == [5]
    assert skipped == 5
