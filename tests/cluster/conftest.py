"""One cluster for all tests that need one: a user's own by `$KUBECONFIG`, else the bench on this machine.

The platform too is brought up once, from nothing by the one command that the documentation names. It may be used by
several processes of pytest at a time (`-n 4 --dist loadfile`): the stories of a model are one file. What is marked
`outage` takes a part of the platform away, and comes when the others are over.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cluster import cache
from cluster import machine as bench
from cluster.builder import Builder, tracking
from cluster.kubectl import Kubectl
from cluster.platform import MODELS, Platform
from cluster.stage import Stage, until
from cluster.traffic import Traffic
from coalmine.errors import Broken

TESTS = Path(__file__).parents[1]
ALONE = "test_machine.py"  # brings the bench up and down itself
LONGEST = ("test_scenarios.py", "test_scenarios_beside.py", "test_scenarios_third.py")
MODEL = MODELS[0]
APPLICATIONS = (
    *("namespaces", "gateway-crds", "envoy-gateway", "flagger", "gateway", "monitoring", "judge", "mlflow", "closer"),
    *(f"tenant-{model}" for model in MODELS),
    "root",
)
GIVES_WAY = 5  # a nice value: a third of the weight
MEASURED: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What wants the machine for itself comes first, before the bench is up for the others; then what takes longest."""
    items.sort(key=lambda item: (item.path.name != ALONE, item.path.name not in LONGEST))  # stable otherwise


def model_of(item: pytest.Item) -> str:
    """The model whose story a test tells: the first, unless a marker names another."""
    named = item.get_closest_marker("model")
    return str(named.args[0]) if named else MODEL


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Beside others, what needs no platform gives way to what does: stories take longest, and wait for pods."""
    beside = "PYTEST_XDIST_WORKER" in os.environ and os.geteuid() == 0  # only root gets its priority back
    if not beside or "platform" in getattr(item, "fixturenames", ()):
        return (yield)
    os.setpriority(os.PRIO_PROCESS, 0, GIVES_WAY)
    try:
        return (yield)
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What another process measured is told by this one."""
    MEASURED.extend(getattr(node, "workeroutput", {}).get("measured", []))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """As above, its other end."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["measured"] = MEASURED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured on the way, for whoever reads the run; no test is decided by the clock."""
    if MEASURED:
        terminalreporter.write_sep("=", "measured")
        for line in MEASURED:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def tell() -> Callable[[str], None]:
    """`tell("push to first request: 21 s")`: told at the end of the run."""
    return MEASURED.append


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


@pytest.fixture(scope="session")
def services(cluster: Kubectl) -> Platform:
    """The bench's registry and git server beside its node."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("wants the bench's own registry and git server")
    made = Platform()
    assert made.kubectl.kubeconfig == cluster.kubeconfig
    with cache.locked("platform"):
        made.start()
    return made


@pytest.fixture(scope="session")
def platform(services: Platform, tell: Callable[[str], None]) -> Platform:
    """The whole platform, from an empty cluster by the one command, and one secret."""
    begun = None
    with cache.locked("platform"):
        if not is_healthy(services, "root"):
            ours = services.own_images()
            begun = time.monotonic()
            services.publish(images_of_ours=ours)
            services.secrets(models=MODELS)
            services.bootstrap()
        for name in APPLICATIONS:
            until(lambda name=name: is_healthy(services, name), f"{name} is Synced and Healthy", seconds=900)  # type: ignore[misc]
    if begun is not None:
        tell(f"from an empty cluster to a platform that is Synced and Healthy: {time.monotonic() - begun:.0f} s")
    return services


@pytest.fixture(scope="session")
def stages(platform: Platform) -> Iterator[Callable[[str], Stage]]:
    """`stages("sentiment")`: a model, its first release serving."""
    made: dict[str, Stage] = {}
    with tracking(platform) as url, ExitStack() as open_ones:

        def stage(model: str) -> Stage:
            if model not in made:
                builder = Builder(platform, model, url)
                with cache.locked("platform"):  # one pair of keys for all
                    builder.prepare()
                    platform.require_signature(builder.key("pub"))
                first = 0 if model == MODEL else 1
                made[model] = open_ones.enter_context(Stage(platform, builder, first))
                made[model].begin()
            return made[model]

        yield stage


@pytest.fixture
def stage(stages: Callable[[str], Stage], request: pytest.FixtureRequest) -> Stage:
    """The model of this test's story."""
    return stages(model_of(request.node))


@pytest.fixture
def people(stage: Stage) -> Iterator[Traffic]:
    """They ask and vote until the test is over."""
    with Traffic(stage.platform, stage.model, votes=0.6) as crowd, stage.watching():
        until(lambda: sum(seen.requests for seen in crowd.stats.arms.values()) > 20, "the gateway answers")
        yield crowd


def is_healthy(platform: Platform, name: str) -> bool:
    """Whether Argo CD calls an Application Synced and Healthy; False where there is none, or no Argo CD."""
    try:
        status = platform.kubectl.within("argocd").get("application", name)["status"]
    except Broken:
        return False
    return bool(status["sync"]["status"] == "Synced" and status["health"]["status"] == "Healthy")


def environment() -> dict[str, str]:
    """For the bench's command."""
    return os.environ | {"PYTHONPATH": str(TESTS)}
