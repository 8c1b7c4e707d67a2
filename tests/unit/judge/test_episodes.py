"""A log alone tells which canaries ran, how they ended, and gives the polls that the live judge would have cut."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from coalmine.errors import BadInput
from coalmine.judge.counting import Counting
from coalmine.judge.episodes import chunks_of, episodes
from coalmine.judge.fold import BAKED
from coalmine.judge.policy import load_policy
from coalmine.judge.sources.accesslog import parse

POLICY = load_policy("bake: {seconds: 20}")


def lines(
    start: float,
    seconds: int,
    *,
    weight: int,
    epoch: int,
    primary: str,
    canary: str = "",
    status: int = 200,
    of: str = "",
) -> str:
    """Twenty requests a second, every other one to the canary where there is one."""
    rows = []
    for i in range(20 * seconds):
        to_canary = bool(canary) and weight > 0 and i % 2 == 0
        row = {"t": start + i / 20, "arm": "canary" if to_canary else "primary", "weight": weight, "epoch": epoch,
               "release": canary if to_canary else primary, "status": status if to_canary else 200, "seconds": 0.01,
               **({"canary": of} if of else {})}  # fmt: skip
        rows.append(json.dumps(row) + "\n")
    return "".join(rows)


PROMOTED = (
    lines(1000, 10, weight=0, epoch=1, primary="m1")
    + lines(1010, 10, weight=10, epoch=2, primary="m1", canary="m2")
    + lines(1020, 10, weight=50, epoch=3, primary="m1", canary="m2")
    + lines(1030, 60, weight=0, epoch=4, primary="m2")
)
FAILED = lines(1090, 10, weight=10, epoch=5, primary="m2", canary="m3", status=500) + lines(
    1100, 10, weight=0, epoch=6, primary="m2"
)
AGAIN = lines(1110, 10, weight=10, epoch=7, primary="m2", canary="m3")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_each_attempt_is_found_with_its_end(tmp_path: Path) -> None:
    first, second, third = episodes([write(tmp_path / "log", PROMOTED + FAILED + AGAIN)], POLICY)
    assert [found.release for found in (first, second, third)] == ["m2", "m3", "m3"]
    assert [found.promoted for found in (first, second, third)] == [True, False, None]
    assert first.baseline == "m1"
    assert (first.started, first.ended, first.requests, first.failed) == (1010, 1030, 200, 0)
    assert list(first.weights) == [(1010, 10), (1020, 50), (1030, 0)]
    assert (second.requests, second.failed) == (100, 100)
    assert (second.started, second.ended) == (1090, 1100)
    assert third.failed == 0


def test_what_comes_after_the_bake_is_not_counted(tmp_path: Path) -> None:
    (found,) = episodes([write(tmp_path / "log", PROMOTED)], POLICY)
    baked = [poll for poll in found.polls if poll.step == BAKED and poll.metric == "errors"]
    assert 300 < sum(poll.n_c for poll in baked) <= 401
    assert max(poll.t for poll in baked) <= 1050


def test_the_polls_are_those_of_the_live_judge(tmp_path: Path) -> None:
    text = lines(1010, 10, weight=10, epoch=2, primary="m1", canary="m2")
    (found,) = episodes([write(tmp_path / "log", text)], POLICY)
    counting = Counting()
    assert found.polls == counting.lines(parse(text.encode())[0], POLICY) + counting.idle(2000, POLICY)
    assert len(found.polls) > 10


def test_rotated_and_compressed_files_are_one_log(tmp_path: Path) -> None:
    whole = episodes([write(tmp_path / "log", PROMOTED + FAILED)], POLICY)
    cut = len(PROMOTED) // 2
    cut = PROMOTED.rfind("\n", 0, cut) + 1
    old = tmp_path / "log.1.gz"
    old.write_bytes(gzip.compress(PROMOTED[:cut].encode()))
    assert episodes([old, write(tmp_path / "new", PROMOTED[cut:] + FAILED)], POLICY) == whole


def test_one_release_can_be_picked_out(tmp_path: Path) -> None:
    path = write(tmp_path / "log", PROMOTED + FAILED)
    assert [found.release for found in episodes([path], POLICY, release="m3")] == ["m3"]
    assert episodes([path], POLICY, release="m9") == []


def test_another_release_in_the_canarys_place_is_another_attempt(tmp_path: Path) -> None:
    text = lines(1010, 10, weight=10, epoch=2, primary="m1", canary="m2")
    text += lines(1020, 10, weight=10, epoch=3, primary="m1", canary="m3")
    first, second = episodes([write(tmp_path / "log", text)], POLICY)
    assert (first.release, first.promoted, first.requests) == ("m2", False, 100)
    assert (second.release, second.promoted, second.requests) == ("m3", None, 100)


def test_two_canaries_on_one_log_are_told_apart(tmp_path: Path) -> None:
    one = lines(1010, 10, weight=10, epoch=2, primary="a1", canary="a2", of="prod/a").splitlines(keepends=True)
    other = lines(1010, 10, weight=20, epoch=9, primary="b1", canary="b2", of="prod/b").splitlines(keepends=True)
    text = "".join(line for pair in zip(one, other, strict=True) for line in pair)
    found = episodes([write(tmp_path / "log", text)], POLICY)
    assert [(item.canary, item.release, item.requests) for item in found] == [
        ("prod/a", "a2", 100),
        ("prod/b", "b2", 100),
    ]


@pytest.mark.parametrize("name", ["missing", "broken.gz"])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    write(tmp_path / "broken.gz", "no gzip")
    with pytest.raises(BadInput, match=name):
        episodes([tmp_path / name], POLICY)


def test_a_log_of_several_chunks_loses_no_line_where_they_meet(tmp_path: Path) -> None:
    text = lines(1010, 2000, weight=10, epoch=2, primary="m1", canary="m2")
    assert len(text) > 4 << 20
    path = write(tmp_path / "log", text + text[:50])
    assert sum(len(parse(chunk)[0]) for chunk in chunks_of(path)) == 40_000
    assert [found.requests for found in episodes([path], POLICY)] == [20_000]
