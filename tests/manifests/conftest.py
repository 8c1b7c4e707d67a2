from __future__ import annotations

from pathlib import Path

import pytest

from manifests import rendered


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that kustomize builds from."""
    return rendered.tree(tmp_path_factory.mktemp("tree"))
