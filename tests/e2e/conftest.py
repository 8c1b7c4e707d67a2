"""One runtime for all end-to-end tests, started as a user would."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coalmine.local.scene import People
from e2e.runtime import STICKY, Runtime, started
from unit.serving.otlp import Receiver, receiver


@pytest.fixture(scope="session")
def traces() -> Iterator[Receiver]:
    """Where the runtime's spans go: one request in twenty is recorded."""
    with receiver() as got:
        yield got


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory, traces: Receiver) -> Iterator[Runtime]:
    """Up, with version 1 (tweets) serving and version 2 (tweets and reviews) in the registry."""
    toml = f'sticky_header = "{STICKY}"\notlp_endpoint = "{traces.url}"\ntrace_percent = 5\n'
    with started(tmp_path_factory.mktemp("e2e"), toml=toml) as here:
        here.cli("retrain", "--domain", "tweets", "--domain", "reviews", "--no-votes")
        yield here


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
