"""A pod's nginx as the cluster starts it: unprivileged, TLS from a Secret's folder, probes on a port of their own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from coalmine.edge import certificates, pod, process

if TYPE_CHECKING:
    from contracts.edge.conftest import Upstream

UID = 10001  # of every container of ours


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def as_pod() -> dict[str, Any]:
    """Nobody in particular: the user of the images where the tests run as root, else whoever runs them."""
    return {"user": UID, "group": UID, "extra_groups": ()} if os.geteuid() == 0 else {}


def owned(folder: Path) -> None:
    """As if the init container had written it, whose user is nginx's."""
    for path in (folder, *folder.rglob("*")):
        if os.geteuid() == 0:
            os.chown(path, UID, UID)


class Secret:
    """A Secret of type tls as the kubelet lays it out: `..data` points to the version in force."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority = folder.parent / "authority"
        folder.mkdir()
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(f"..data/{name}")
        self.rotate()

    def rotate(self) -> None:
        """A new certificate the kubelet's way: a new folder, the link renamed over, the old folder removed."""
        certificates.renew(self._authority, ("localhost",))
        pem = (self._authority / "current" / "server.pem").read_text()
        chain, _, key = pem.partition("-----BEGIN PRIVATE KEY")
        before = (self.folder / "..data").resolve() if (self.folder / "..data").exists() else None
        fresh = Path(tempfile.mkdtemp(prefix="..2026_", dir=self.folder))
        fresh.chmod(0o755)
        (fresh / "tls.crt").write_text(chain)
        (fresh / "tls.key").write_text(f"-----BEGIN PRIVATE KEY{key}")
        link = self.folder / "..data_tmp"
        link.symlink_to(fresh.name)
        link.rename(self.folder / "..data")
        if before:
            shutil.rmtree(before)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._authority / "ca.pem"))


@dataclass
class Pod:
    secret: Secret
    service: Upstream
    ports: dict[str, int]
    log: Path
    nginx: subprocess.Popen[bytes]

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("localhost", self.ports["port"], context=self.secret.trust(), timeout=10)

    def predict(self, path: str = "/predict", *, method: str = "POST") -> tuple[int, dict[str, str]]:
        connection = self.connect()
        connection.request(method, path, body=b"{}")
        got = connection.getresponse()
        got.read()
        connection.close()
        return got.status, {name.lower(): value for name, value in got.getheaders()}

    def inside(self, port: str, path: str, *, method: str = "GET") -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=10)
        connection.request(method, path)
        status = connection.getresponse().status
        connection.close()
        return status

    def serial(self) -> int:
        connection = self.connect()
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        found = connection.sock.getpeercert() or {}
        connection.close()
        return int(str(found["serialNumber"]), 16)

    def lines(self, *, at_least: int) -> list[dict[str, Any]]:
        until = time.monotonic() + 30
        while (text := self.log.read_bytes()).count(b"\n") < at_least and time.monotonic() < until:
            time.sleep(0.01)
        return [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]


@pytest.fixture
def start(upstream: Callable[..., Upstream]) -> Iterator[Callable[..., Pod]]:
    """start(workload) -> a pod's nginx, as its init container and its image start it."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pod-")))  # pytest's own is root's alone
        root.chmod(0o755)

        def make(workload: str = "sentiment") -> Pod:
            service = upstream("service")
            into = root / "emptydir"
            into.mkdir()
            ports = {name: free_port() for name in ("port", "probe_port", "metrics_port")}
            secret = Secret(root / "tls")
            told = {
                "model": "sentiment",
                "workload": workload,
                "release": "m2-abc1235",
                "into": into,
                "tls": secret.folder,
                "service": f"127.0.0.1:{service.port}",
            }
            arguments = [f"--{name.replace('_', '-')}={value}" for name, value in (told | ports).items()]
            assert pod.main(arguments) == 0
            owned(into)
            log = root / "stdout"
            out = stack.enter_context(log.open("wb"))
            os.fchmod(out.fileno(), 0o666)  # a runtime gives a container's user its own standard output
            program = [process.find_nginx(), "-p", str(into), "-e", "/dev/stderr", "-c", str(into / "nginx.conf")]
            nginx = subprocess.Popen(program, stdout=out, stderr=out, **as_pod())
            stack.callback(end, nginx)
            wait_for(ports["port"], nginx, log)
            return Pod(secret, service, ports, log, nginx)

        yield make


def end(nginx: subprocess.Popen[bytes]) -> None:
    nginx.terminate()
    nginx.wait(30)


def wait_for(port: int, nginx: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and nginx.poll() is None:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError(f"nginx does not listen: {log.read_text()}")


def test_an_unprivileged_user_serves_and_logs_to_standard_output(start: Callable[..., Pod]) -> None:
    edge = start()
    status, headers = edge.predict()
    assert (status, headers["x-coalmine-arm"], headers["x-coalmine-release"]) == (200, "canary", "m2-abc1235")
    (line,) = edge.lines(at_least=1)
    assert (line["arm"], line["release"], line["status"]) == ("canary", "m2-abc1235", 200)
    if os.geteuid() == 0:
        assert Path(f"/proc/{edge.nginx.pid}").stat().st_uid == UID


def test_flaggers_copy_says_that_it_is_the_primary(start: Callable[..., Pod]) -> None:
    assert start("sentiment-primary").predict()[1]["x-coalmine-arm"] == "primary"


def test_a_rotated_secret_is_served_without_a_reload(start: Callable[..., Pod]) -> None:
    edge = start()
    seen = {edge.serial()}
    for rotations in range(2, 7):
        edge.secret.rotate()
        seen.add(edge.serial())
        assert len(seen) == rotations


def test_clients_reach_neither_probes_nor_metrics(start: Callable[..., Pod]) -> None:
    edge = start()
    paths = ["/readyz", "/livez", "/metrics", "/feedback", "/", "/docs.json"]
    assert [edge.predict(path, method="GET")[0] for path in paths] == [404] * len(paths)
    assert edge.service.seen == []


def test_the_cluster_reaches_probes_and_metrics_and_no_more(start: Callable[..., Pod]) -> None:
    """The kubelet and Prometheus ask the service itself through nginx: a dead nginx is not ready either."""
    edge = start()
    assert [edge.inside("probe_port", path) for path in ("/readyz", "/livez", "/metrics", "/predict")] == [
        200,
        200,
        404,
        404,
    ]
    assert [edge.inside("metrics_port", path) for path in ("/metrics", "/readyz", "/predict")] == [200, 404, 404]
    assert edge.inside("probe_port", "/readyz", method="POST") == 405
    edge.service.status = 503
    assert edge.inside("probe_port", "/readyz") == 503
    assert edge.lines(at_least=0) == []  # nothing of it passes for a client's request


def test_readiness_ends_with_the_service(start: Callable[..., Pod]) -> None:
    edge = start()
    edge.service.stop()
    assert edge.inside("probe_port", "/readyz") == 502
