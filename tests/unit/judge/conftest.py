"""The databases that the judge can live in."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.judge.postgres import Server, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for the session; each test takes a database of its own."""
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: a path of SQLite, or the URL of a real PostgreSQL."""
    if request.param == "sqlite":
        return str(tmp_path / "judge.db")
    found = request.getfixturevalue("postgres")
    assert isinstance(found, Server)
    return found.url(f"t{uuid.uuid4().hex[:12]}")
