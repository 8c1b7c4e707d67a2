"""One runtime for all end-to-end tests, started as a user would."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest
from rich.console import Console

from coalmine.local import up
from coalmine.local.scene import People, Scene, free_base
from coalmine.settings import load
from e2e.runtime import OVERLAY, POLICY, ROOT, Runtime, release_id


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """Up, with version 1 (tweets) serving and version 2 (tweets and reviews) in the registry."""
    folder = tmp_path_factory.mktemp("e2e")
    checkout = folder / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    base = free_base(21443)
    env = {**os.environ, "COALMINE_PORT_BASE": str(base), "COALMINE_STATE": str(folder / "state")}
    settings = load(project=checkout, environ=env)
    here = Runtime(checkout, settings, env, Scene(folder, settings, Console(quiet=True)))
    here.git("config", "user.name", "A tester")
    here.git("config", "user.email", "tester@localhost")
    here.commit("flagger/sentiment/policy.yaml", POLICY, why="a policy in a hurry")
    here.commit("flagger/sentiment/local/canary.yaml", OVERLAY, why="fewer steps")
    try:
        here.cli("up", "-d")
        first = release_id(json.loads(here.cli("--json", "retrain", "--domain", "tweets", "--no-votes"))["id"])
        attempt = here.push(first)
        here.ended(attempt)
        here.cli("retrain", "--domain", "tweets", "--domain", "reviews", "--no-votes")
        yield here
    finally:
        for people in here.people:
            people.leave()
        up.down(settings)


@pytest.fixture
def people(runtime: Runtime) -> Iterator[People]:
    """People asking about tweets, some 80 times a second."""
    crowd = runtime.crowd()
    yield crowd
    crowd.leave()
    runtime.people.remove(crowd)


@pytest.fixture
def calm(runtime: Runtime) -> Iterator[None]:
    """The test begins, and ends, with no attempt open."""

    def settled() -> bool:
        saved = runtime.store.load(runtime.settings.model)
        return saved is not None and not saved.state.active and not runtime.rollout().get("queued")

    runtime.wait("no attempt open", settled, seconds=60)
    yield
    runtime.wait("no attempt open", settled, seconds=120)
