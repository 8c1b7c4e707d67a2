"""The profile envoy-gateway on the real Envoy: a fault in one arm counts against it alone, however the pod dies."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from cluster.rootfs import envoy
from coalmine.judge.policy import load_policy
from coalmine.judge.sources import Outcomes, Position
from coalmine.judge.sources.prometheus import PrometheusSource

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # the first run fetches Envoy
POLICY = json.dumps(
    {
        "metrics": {"feedback": None, "latency": {"edge_seconds": 0.1}},
        "prometheus": {"profile": "envoy-gateway", "every_seconds": 1},
    }
)
ARMS = {"primary": 0, "canary": 1}  # as Flagger orders its backendRefs, and Envoy Gateway names their clusters
CLUSTER = "httproute/sentiment/sentiment/rule/0/backend/{}"
# How the pod fails: what the client sees, and whether it counts as bad.
FAULTS = [
    ("/200", 200, False),
    ("/500", 500, True),
    ("/503", 503, True),
    ("/429", 429, False),
    ("/hang", 504, True),
    ("/dies-before-headers", 503, True),
    ("/dies-within-body", None, True),
    ("/404", 404, False),
]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Gateway:
    """Envoy before two servers, a Prometheus that scrapes it, and a reader of which only the position lasts."""

    folder: Path
    http: int
    admin: int
    servers: dict[str, int]
    prometheus: int
    client: httpx.Client
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    position: Position | None = None
    items: list[Outcomes] = field(default_factory=list)

    def begin(self, arm: str) -> None:
        program = [sys.executable, str(Path(__file__).with_name("faulty.py")), str(self.servers[arm])]
        self.running[arm] = subprocess.Popen(program)
        wait(self.servers[arm])

    def end(self, arm: str) -> None:
        self.running[arm].kill()
        self.running[arm].wait()

    def ask(self, arm: str, path: str) -> int | None:
        """The status, or None where the answer broke off. A server that died is begun again afterwards."""
        try:
            status = self.client.get(f"http://127.0.0.1:{self.http}{path}", headers={"x-arm": arm}).status_code
        except httpx.RemoteProtocolError:
            status = None
        if path.startswith("/dies"):
            self.running[arm].wait(10)
            self.begin(arm)
        return status

    def read(self) -> None:
        url = f"http://127.0.0.1:{self.prometheus}"
        source = PrometheusSource(url, load_policy(POLICY), namespace="sentiment", name="sentiment", client=self.client)
        batch = source.read(self.position)
        assert not source.error, source.error
        self.position = batch.position
        self.items += batch.items

    def counted(self, arm: str) -> tuple[int, int]:
        mine = [one for one in self.items if (one.metric, one.arm) == ("errors", arm)]
        return sum(one.n for one in mine), sum(one.e for one in mine)

    def read_until(self, expected: dict[str, tuple[int, int]]) -> None:
        """Never more than expected, and it must come to it, for both arms."""
        found: dict[str, tuple[int, int]] = {}
        for _ in range(80):
            self.read()
            found = {arm: self.counted(arm) for arm in ARMS}
            if found == expected:
                return
            assert all(found[arm] <= expected[arm] for arm in ARMS), found
            time.sleep(0.25)
        raise AssertionError(f"{found} instead of {expected}")


def wait(port: int) -> None:
    for _ in range(400):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nobody listens on {port}")


def configuration(http: int, admin: int, servers: dict[str, int]) -> str:
    """As Envoy Gateway makes it where each backend has a cluster of its own; a header picks the arm."""

    def address(port: int) -> dict[str, object]:
        return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}

    kind = "type.googleapis.com/envoy.extensions.filters"
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": "x-arm", "string_match": {"exact": arm}}]},
            "route": {"cluster": CLUSTER.format(number), "timeout": "1s"},
        }
        for arm, number in ARMS.items()
    ]
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
        ],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    clusters = [
        {
            "name": CLUSTER.format(number),
            "connect_timeout": "1s",
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": CLUSTER.format(number),
                "endpoints": [{"lb_endpoints": [{"endpoint": address(servers[arm])}]}],
            },
        }
        for arm, number in ARMS.items()
    ]
    listener = {"name": "http", **address(http), "filter_chains": [chain]}
    return json.dumps({"admin": address(admin), "static_resources": {"listeners": [listener], "clusters": clusters}})


@contextmanager
def process(line: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as said:
        running = subprocess.Popen(line, stdout=said, stderr=said)
    try:
        yield
    finally:
        running.terminate()
        running.wait(timeout=20)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    http, admin, prometheus = free_port(), free_port(), free_port()
    servers = {arm: free_port() for arm in ARMS}
    (tmp_path / "envoy.json").write_text(configuration(http, admin, servers))
    scrape = {"job_name": "envoy", "metrics_path": "/stats/prometheus"}
    scrape |= {"static_configs": [{"targets": [f"127.0.0.1:{admin}"]}]}  # type: ignore[dict-item] # JSON of any depth
    (tmp_path / "prometheus.yml").write_text(
        json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]})
    )
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(timeout=15, base_url=f"http://127.0.0.1:{prometheus}"))
        made = Gateway(tmp_path, http, admin, servers, prometheus, client)
        for arm in ARMS:
            made.begin(arm)
            stack.callback(made.end, arm)
        line = [str(envoy()), "-c", str(tmp_path / "envoy.json"), "--concurrency", "1", "--use-dynamic-base-id"]
        stack.enter_context(process([*line, "-l", "error"], tmp_path / "envoy.log"))
        line = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        line.append(f"--web.listen-address=127.0.0.1:{prometheus}")
        stack.enter_context(process(line, tmp_path / "prometheus.log"))
        for port in (http, admin, prometheus):
            wait(port)
        yield made


def scraped(gateway: Gateway) -> bool:
    """Whether both arms' counters were scraped."""
    query = {"query": "count(envoy_cluster_upstream_rq_total)"}
    found = gateway.client.get("/api/v1/query", params=query).json().get("data", {}).get("result", [])
    return bool(found) and found[0]["value"][1] == "2"


def test_a_fault_in_one_arm_is_counted_to_it_alone(gateway: Gateway) -> None:
    """Errors, time-outs, refusals, and a process that is killed before its headers or within its body."""
    for arm in ARMS:
        assert gateway.ask(arm, "/200") == 200
    for _ in range(200):
        if scraped(gateway):
            break
        time.sleep(0.1)
    gateway.read()  # the first reading only remembers
    expected = dict.fromkeys(ARMS, (0, 0))
    for faulty, other in (("canary", "primary"), ("primary", "canary")):
        for path, status, bad in FAULTS:
            assert gateway.ask(faulty, path) == status, path
            assert gateway.ask(other, "/200") == 200
            expected[faulty] = (expected[faulty][0] + 1, expected[faulty][1] + bad)
            expected[other] = (expected[other][0] + 1, expected[other][1])
            gateway.read_until(expected)
        gateway.end(faulty)
        assert gateway.ask(faulty, "/200") == 503  # nobody listens there
        expected[faulty] = (expected[faulty][0] + 1, expected[faulty][1] + 1)
        gateway.read_until(expected)
        gateway.begin(faulty)
