"""The bench's node comes up from nothing, mends itself after crashes, and leaves nothing on the machine.

These tests want the machine for themselves: skipped while a bench is up, or when `$KUBECONFIG` names a cluster.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster import images
from cluster import machine as bench
from cluster.conftest import environment
from cluster.kubectl import Kubectl
from cluster.node import cgroups, traces
from cluster.node.layout import NODE, Layout

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]  # the first run builds engines

Command = Callable[..., subprocess.CompletedProcess[str]]
# Where engines write when no flag says otherwise; a bench that has gone must not have added to them.
_SYSTEM = ("/run", "/run/containerd", "/var/lib", "/var/log", "/var/run/netns", "/opt", "/etc/cni", "/usr/libexec")
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "guest", "namespace": "default"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "guest",
                "image": images.DEBIAN,
                "imagePullPolicy": "Never",
                "command": ["sh", "-c", "echo here I am; exec sleep infinity"],
            }
        ],
    },
}


@pytest.fixture
def alone(command: Command) -> Iterator[None]:
    """A machine without a bench, before and after."""
    if os.environ.get("KUBECONFIG") or bench.Machine().status().traces:
        pytest.skip("wants a machine without a bench: make cluster-down")
    yield
    command("down")


@pytest.mark.usefixtures("alone")
def test_a_pod_runs_finds_services_by_name_and_is_entered_and_afterwards_the_machine_is_as_before(
    command: Command,
) -> None:
    before = _machine()
    command("up")
    cluster = _with_guest()
    assert cluster.execute("guest", "getent", "hosts", "kubernetes.default.svc").startswith("198.19.0.1 ")
    assert cluster.execute("guest", "getent", "hosts", "git.bench.test").startswith("198.18.0.1 ")
    assert "open" in cluster.execute("guest", "bash", "-c", "exec 3<>/dev/tcp/kubernetes.default/443 && echo open")
    assert cluster.run("logs", "guest") == "here I am\n"
    assert cluster.get("node", NODE)["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.3"
    command("down")
    assert _machine() == before
    assert traces.found(Layout.here()) == []
    assert not Layout.here().folder.exists()


@pytest.mark.usefixtures("alone")
def test_up_does_nothing_to_a_bench_that_is_up(command: Command) -> None:
    command("up")
    before = bench.Machine().status().engines
    command("up")
    assert bench.Machine().status().engines == before
    assert None not in before.values()


@pytest.mark.usefixtures("alone")
def test_after_everything_was_killed_up_brings_the_same_pod_back_and_down_leaves_nothing(command: Command) -> None:
    before = _machine()
    command("up")
    guest = _with_guest().get("pod", "guest")["metadata"]["uid"]
    _kill_everything()
    command("up")
    cluster = Kubectl(bench.kubeconfig(), "default")
    cluster.wait("pod/guest", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    cluster.wait("pod/guest", "Ready")
    assert cluster.get("pod", "guest")["metadata"]["uid"] == guest
    _kill_everything()
    command("down")
    assert _machine() == before
    assert traces.found(Layout.here()) == []


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("at", ["starting the control plane", "starting kubelet", "waiting for the node and its DNS"])
def test_a_harness_killed_while_it_brings_the_bench_up_leaves_nothing_that_down_does_not_find(
    at: str, command: Command
) -> None:
    before = _machine()
    line = [sys.executable, "-m", "cluster", "up"]
    with subprocess.Popen(line, env=environment(), stderr=subprocess.PIPE, text=True) as harness:
        assert harness.stderr is not None
        assert any(said.startswith(at) for said in harness.stderr)
        harness.kill()
    command("down")
    assert _machine() == before
    assert traces.found(Layout.here()) == []


@pytest.mark.usefixtures("alone")
def test_one_engine_that_died_is_found_by_status_and_mended_by_up(command: Command) -> None:
    command("up")
    pid = bench.Machine().status().engines["kubelet"]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while bench.Machine().status().engines["kubelet"] is not None:
        pass
    assert not bench.Machine().status().up
    command("up")
    assert bench.Machine().status().up
    _with_guest()


def _with_guest() -> Kubectl:
    """kubectl in the default namespace, where a pod with a shell runs."""
    images.load([images.DEBIAN], ctr=bench.Machine().ctr)
    cluster = Kubectl(bench.kubeconfig(), "default")
    cluster.apply(POD)
    cluster.wait("pod/guest", "Ready")
    return cluster


def _kill_everything() -> None:
    for pid in cgroups.members():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while cgroups.members():
        pass


def _machine() -> dict[str, object]:
    """What a bench could change on this machine."""

    def said(*line: str) -> str:
        return subprocess.run(line, capture_output=True, text=True, check=False).stdout

    links = said("ip", "-brief", "link").split("\n")
    return {
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "links": sorted(line.split()[0] for line in links if line),
        "addresses": said("ip", "-brief", "address"),
        "routes": said("ip", "route"),
        "namespaces": said("ip", "netns"),
        "rules": said("/usr/sbin/nft", "list", "ruleset"),
        "cgroups": sorted(str(path) for path in cgroups.groups()),
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "panic": Path("/proc/sys/kernel/panic_on_oops").read_text(),
        "folders": {name: sorted(Path(name).iterdir()) for name in _SYSTEM if Path(name).is_dir()},
    }
