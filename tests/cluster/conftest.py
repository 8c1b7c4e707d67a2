"""One cluster for all tests that need one: a user's own by `$KUBECONFIG`, else the bench on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import machine as bench
from cluster.kubectl import Kubectl

TESTS = Path(__file__).parents[1]
ALONE = "test_machine.py"  # brings the bench up and down itself


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What wants the machine for itself comes first, before the bench is up for the others."""
    items.sort(key=lambda item: item.path.name != ALONE)  # stable: the rest keeps its order


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`command("up")` runs the bench's own command as a process and returns it, ended well."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "cluster", *words]
        done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def cluster(command: Callable[..., object]) -> Iterator[Kubectl]:
    """The admin's kubectl. The bench is taken down at the end if it was not up at the beginning."""
    if os.environ.get("KUBECONFIG"):
        yield Kubectl(bench.kubeconfig())
        return
    was_up = bench.Machine().status().up
    command("up")  # also mends one that is half up
    yield Kubectl(bench.kubeconfig())
    if not was_up:
        command("down")


def environment() -> dict[str, str]:
    """For the bench's command."""
    return os.environ | {"PYTHONPATH": str(TESTS)}
