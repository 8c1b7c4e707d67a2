from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from coalmine.steps.workload import sibling

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def data() -> ModuleType:
    return sibling(PROJECT, "sentiment", "data")


@pytest.fixture(scope="session")
def fetch() -> ModuleType:
    return sibling(PROJECT, "sentiment", "fetch")


@pytest.fixture(scope="session")
def training() -> ModuleType:
    return sibling(PROJECT, "sentiment", "training")
