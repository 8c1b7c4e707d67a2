"""The data is taken from the cache if it is the measured file, and fetched whole otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import pytest

from coalmine.errors import BadInput, Temporary


def test_the_cache_is_where_the_environment_says(fetch: ModuleType, tmp_path: Path) -> None:
    assert fetch.cache_folder({"COALMINE_CACHE": str(tmp_path)}) == tmp_path
    assert fetch.cache_folder({}) == Path.home() / ".cache" / "coalmine"


def test_a_cached_file_is_used_without_asking_anyone(
    fetch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(fetch.archive(), tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert fetch.archive(tmp_path) == tmp_path / fetch.ARCHIVE


@pytest.mark.parametrize("content", [pytest.param(None, marks=pytest.mark.slow), b"damaged"])
def test_without_an_index_the_error_says_what_to_do_and_leaves_nothing(
    fetch: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content:
        (tmp_path / fetch.ARCHIVE).write_bytes(content)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "none"))
    with pytest.raises(Temporary, match=r"(?s)pip could not download it.*put vaderSentiment-3\.3\.2\.tar\.gz into"):
        fetch.archive(tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_another_file_of_that_name_is_not_read(fetch: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "other.tar.gz").write_bytes(b"no archive")
    with pytest.raises(BadInput, match="no readable archive"):
        fetch.members(tmp_path / "other.tar.gz", ("tweets_GroundTruth.txt",))


def test_a_cache_that_cannot_be_written_is_named(fetch: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="COALMINE_CACHE"):
        fetch.archive(tmp_path / "file")


@pytest.mark.slow
def test_the_real_download_is_the_measured_file(fetch: ModuleType, tmp_path: Path) -> None:
    path = fetch.archive(tmp_path / "new")
    assert fetch.members(path, ("tweets_GroundTruth.txt",))["tweets_GroundTruth.txt"].startswith(b"1\t2.72")
    assert [item.name for item in (tmp_path / "new").iterdir()] == [fetch.ARCHIVE]
