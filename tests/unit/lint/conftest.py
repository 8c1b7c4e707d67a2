from __future__ import annotations

import os
from pathlib import Path

import pytest

from cluster.engines import binary


@pytest.fixture(scope="session")
def program() -> Path:
    """kustomize, built on first use."""
    return binary("kustomize")


@pytest.fixture
def kustomize(program: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and first on the PATH, as a user has it."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    return program
