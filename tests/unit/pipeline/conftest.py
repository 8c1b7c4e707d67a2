"""The steps' tiny project, with what a run needs besides: a repository to push to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from coalmine.settings import Settings
from unit.steps.conftest import commit, git, make_project, settings

__all__ = ["commit", "make_project", "settings"]


@pytest.fixture(scope="session")
def with_remote() -> Callable[[Settings], str]:
    """Give the project the remote that releases go to; returns its main."""

    def make(here: Settings) -> str:
        bare: Path = here.bare_repository
        bare.parent.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
        git(here.project, "config", "user.name", "Test")
        git(here.project, "config", "user.email", "test@localhost")
        git(here.project, "remote", "add", "coalmine", str(bare))
        git(here.project, "push", "-q", "coalmine", "HEAD:main")
        return git(here.project, "rev-parse", "HEAD")

    return make
