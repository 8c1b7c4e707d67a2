"""The split's folder: one rename, nothing half-made, nothing lost."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.edge.split import bucket_files, current_split, folder_name, write_split
from coalmine.errors import BadInput, Broken
from coalmine.records import ReleaseId, Slot, Split

M1, M2 = ReleaseId(1, "abc1234"), ReleaseId(2, "def5678")


def test_there_is_no_split_before_the_first(tmp_path: Path) -> None:
    assert current_split(tmp_path) is None


@pytest.mark.parametrize(
    "split",
    [
        Split(0, Slot.BLUE, None, None, 0),
        Split(1, Slot.BLUE, M1, None, 0),
        Split(17, Slot.GREEN, M1, M2, 25),
        Split(18, Slot.BLUE, ReleaseId(1, "a" * 40), ReleaseId(22, "b" * 40), 100),
        Split(2, Slot.BLUE, None, M2, 0),
    ],
)
def test_what_is_written_is_read_back(tmp_path: Path, split: Split) -> None:
    write_split(tmp_path, split)
    assert current_split(tmp_path) == split
    files = sorted(path.name for path in (tmp_path / "current").iterdir())
    assert files == [f"{number:02d}" for number in range(split.weight)]


def test_the_name_is_the_one_that_nginx_reads() -> None:
    assert folder_name(Split(17, Slot.BLUE, M1, M2, 25)) == (
        "epoch=17,primary_slot=blue,primary=m1-abc1234,canary=m2-def5678,weight=25"
    )


@given(smaller=st.integers(0, 100), larger=st.integers(0, 100))
def test_a_larger_weight_takes_no_bucket_away(smaller: int, larger: int) -> None:
    smaller, larger = sorted((smaller, larger))
    assert set(bucket_files(smaller)) <= set(bucket_files(larger))
    assert len(bucket_files(larger)) == larger


def test_the_same_split_again_changes_nothing(tmp_path: Path) -> None:
    write_split(tmp_path, Split(3, Slot.BLUE, M1, M2, 10))
    before = (tmp_path / "current").lstat()
    write_split(tmp_path, Split(3, Slot.BLUE, M1, M2, 10))
    assert (tmp_path / "current").lstat().st_ino == before.st_ino


@pytest.mark.parametrize("split", [Split(1, Slot.BLUE, M1, None, 5), Split(1, Slot.BLUE, None, M2, 5)])
def test_a_weight_needs_both_arms(tmp_path: Path, split: Split) -> None:
    with pytest.raises(BadInput, match="5 %"):
        write_split(tmp_path, split)
    assert current_split(tmp_path) is None


@pytest.mark.parametrize("weight", [-1, 101])
def test_a_weight_is_a_percent(tmp_path: Path, weight: int) -> None:
    with pytest.raises(BadInput, match="weight"):
        write_split(tmp_path, Split(1, Slot.BLUE, M1, M2, weight))


def test_a_split_out_of_force_stays_until_no_request_can_be_reading_it(tmp_path: Path) -> None:
    first, second, third = (Split(epoch, Slot.BLUE, M1, M2, epoch) for epoch in (1, 2, 3))
    write_split(tmp_path, first)
    os.utime(tmp_path / "splits" / folder_name(first), (0, 0))  # in force for years
    write_split(tmp_path, second)
    assert (tmp_path / "splits" / folder_name(first)).is_dir()  # its age counts from now
    os.utime(tmp_path / "splits" / folder_name(first), (0, time.time() - 301))
    write_split(tmp_path, third)
    names = {path.name for path in (tmp_path / "splits").iterdir()}
    assert names == {folder_name(second), folder_name(third)}


def test_a_reader_never_finds_a_split_half_made(tmp_path: Path) -> None:
    write_split(tmp_path, Split(0, Slot.BLUE, M1, M2, 0))
    wrong: list[tuple[int, int]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            folder = (tmp_path / "current").resolve()
            weight = int(folder.name.rpartition("=")[2])
            found = len(list(folder.iterdir()))
            if found != weight:
                wrong.append((weight, found))

    reader = threading.Thread(target=read)
    reader.start()
    for epoch in range(1, 40):
        write_split(tmp_path, Split(epoch, Slot.BLUE, M1, M2, epoch * 7 % 101))
    done.set()
    reader.join(30)
    assert wrong == []


def test_what_a_kill_left_behind_does_no_harm(tmp_path: Path) -> None:
    """Killed between the folder and the link: the old split is in force, and the same call ends the work."""
    write_split(tmp_path, Split(1, Slot.BLUE, M1, M2, 5))
    (tmp_path / "splits" / ".new-0123").mkdir()
    (tmp_path / ".new-0123").symlink_to("splits/nowhere")
    write_split(tmp_path, Split(2, Slot.BLUE, M1, M2, 10))
    assert current_split(tmp_path) == Split(2, Slot.BLUE, M1, M2, 10)
    for left in (tmp_path / "splits" / ".new-0123",):
        os.utime(left, (0, 0))
    write_split(tmp_path, Split(3, Slot.BLUE, M1, M2, 10))
    assert not [path for path in (tmp_path / "splits").iterdir() if path.name.startswith(".new-")]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".new-")]


def test_a_folder_changed_by_hand_is_named(tmp_path: Path) -> None:
    write_split(tmp_path, Split(1, Slot.BLUE, M1, M2, 5))
    (tmp_path / "current" / "77").touch()
    with pytest.raises(Broken, match="6 bucket files instead of 5"):
        write_split(tmp_path, Split(1, Slot.BLUE, M1, M2, 5))


def test_a_link_to_something_else_is_broken(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("splits/elsewhere")
    with pytest.raises(Broken, match="elsewhere"):
        current_split(tmp_path)
