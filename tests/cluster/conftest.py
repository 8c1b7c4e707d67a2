"""One cluster for all tests that need one: a user's own by `$KUBECONFIG`, else the bench on this machine.

The platform too is brought up once, from nothing by the one command that the documentation names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster import machine as bench
from cluster.kubectl import Kubectl
from cluster.platform import Platform
from cluster.stage import until
from coalmine.errors import Broken

TESTS = Path(__file__).parents[1]
ALONE = "test_machine.py"  # brings the bench up and down itself
LAST = "test_scenarios.py"  # takes parts of the platform away
MODEL = "sentiment"
APPLICATIONS = (
    *("namespaces", "gateway-crds", "envoy-gateway", "flagger", "gateway", "monitoring", "judge", "mlflow", "closer"),
    *("tenant-sentiment", "root"),
)
MEASURED: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What wants the machine for itself comes first, before the bench is up for the others."""
    items.sort(key=lambda item: (item.path.name != ALONE, item.path.name == LAST))  # stable: the rest keeps its order


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
    made.start()
    return made


@pytest.fixture(scope="session")
def platform(services: Platform, tell: Callable[[str], None]) -> Platform:
    """The whole platform, from an empty cluster by the one command, and one secret."""
    begun = None
    if not is_healthy(services, "root"):
        ours = services.own_images()
        begun = time.monotonic()
        services.publish(images_of_ours=ours)
        services.secrets(models=(MODEL,))
        services.bootstrap()
    for name in APPLICATIONS:
        until(lambda name=name: is_healthy(services, name), f"{name} is Synced and Healthy", seconds=900)  # type: ignore[misc]
    if begun is not None:
        tell(f"from an empty cluster to a platform that is Synced and Healthy: {time.monotonic() - begun:.0f} s")
    return services


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
