"""The bench's cache: made once, whole or not at all, by one maker at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster import cache

TESTS = Path(__file__).parents[1]
DYING = """
import os, pathlib, signal
from cluster import cache
def make(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
cache.kept("thing", "recipe", make)
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COALMINE_CACHE", str(tmp_path / "cache"))


def test_the_same_recipe_is_made_once_and_another_one_anew() -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("it")

    first = cache.kept("thing", "one", make)
    assert cache.kept("thing", "one", make) == first
    assert cache.kept("thing", "two", make) != first
    assert len(made) == 2
    assert first.read_text() == "it"


def test_of_many_makers_at_once_one_makes_and_the_others_get_what_it_made() -> None:
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_text("it")

    with ThreadPoolExecutor(8) as pool:
        results = set(pool.map(lambda _: cache.kept("thing", "one", make), range(32)))
    assert len(made) == len(results) == 1


def test_a_maker_that_fails_leaves_nothing_and_the_next_one_starts_clean() -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        cache.kept("thing", "one", fail)
    assert not cache.place("thing", "one").exists()
    assert cache.kept("thing", "one", lambda path: path.mkdir()).is_dir()


def test_a_maker_that_is_killed_leaves_nothing_that_looks_finished_and_no_lock() -> None:
    done = subprocess.run([sys.executable, "-c", DYING], env=os.environ | {"PYTHONPATH": str(TESTS)}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not cache.place("thing", "recipe").exists()
    made = cache.kept("thing", "recipe", lambda path: path.mkdir())
    assert list(made.iterdir()) == []
