"""A real Prometheus scrapes a real process: what the source counts is what that process did."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from coalmine.judge.policy import load_policy
from coalmine.judge.profiles import PROFILES
from coalmine.judge.sources import Outcomes, Position
from coalmine.judge.sources.prometheus import PrometheusSource, episode_from_prometheus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
POLICY = json.dumps(
    {
        "metrics": {"feedback": None, "latency": {"edge_seconds": 0.1}},
        "fresh_seconds": 4,
        "prometheus": {
            "every_seconds": 1,
            "canary": "canary",
            "primary": "primary",
            "queries": {
                "errors": {
                    "total": 'requests_total{arm="{workload}"}',
                    "bad": 'requests_total{arm="{workload}",code=~"5.."}',
                },
                "latency": {"buckets": 'seconds_bucket{arm="{workload}"}'},
            },
        },
    }
)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Scene:
    """Prometheus, its target, and a reader that is made anew for each reading: only the position lasts."""

    url: str
    target: int
    client: httpx.Client
    process: subprocess.Popen[bytes] | None = None
    position: Position | None = None
    items: list[Outcomes] = field(default_factory=list)

    def begin(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("exporter.py")), str(self.target)]
        )
        self.wait(f"http://127.0.0.1:{self.target}/")

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def add(self, **arms: tuple[int, int, int]) -> None:
        self.client.post(f"http://127.0.0.1:{self.target}/", json=arms).raise_for_status()

    def wait(self, url: str) -> None:
        for _ in range(300):
            try:
                if self.client.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{url} does not answer")

    def read(self) -> list[Outcomes]:
        source = PrometheusSource(self.url, load_policy(POLICY), namespace="n", name="m", client=self.client)
        batch = source.read(self.position)
        assert not source.error, source.error
        self.position = batch.position
        self.items += batch.items
        return list(batch.items)

    def read_until(self, n: int, e: int, arm: str = "canary") -> None:
        """Until the arm's errors are these in all: never more, and it must come to them."""
        found = (0, 0)
        for _ in range(40):
            self.read()
            mine = [one for one in self.items if (one.metric, one.arm) == ("errors", arm)]
            found = sum(one.n for one in mine), sum(one.e for one in mine)
            assert found[0] <= n
            assert found[1] <= e
            if found == (n, e):
                return
            time.sleep(0.25)
        raise AssertionError(f"{found} instead of {(n, e)}")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    if shutil.which("prometheus") is None:
        pytest.fail("no prometheus on this machine: apt-get install prometheus")
    port, target = free_port(), free_port()
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: test, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
    )
    command = [
        "prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (tmp_path / "log").open("wb") as log, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        found = Scene(f"http://127.0.0.1:{port}", target, client)
        try:
            found.wait(f"http://127.0.0.1:{port}/-/ready")
            yield found
        finally:
            found.end()
            server.terminate()
            server.wait(timeout=20)


def test_what_is_counted_is_what_the_process_did(scene: Scene) -> None:
    """Counters rise, the process restarts, goes away and comes back; a fault of the canary is the canary's."""
    started = time.time()
    scene.begin()
    scene.add(canary=(100, 0, 0), primary=(100, 5, 0))
    for _ in range(40):
        if scene.client.get("/api/v1/query", params={"query": "requests_total[5s]"}).json()["data"]["result"]:
            break
        time.sleep(0.25)
    assert scene.read() == []  # what was there before the judge is nobody's canary
    scene.add(canary=(30, 0, 0), primary=(300, 0, 0))
    scene.read_until(30, 0)
    scene.add(canary=(5, 4, 9), primary=(90, 0, 1))  # the first failure makes a new series
    scene.read_until(39, 4)
    scene.read_until(390, 0, "primary")
    slow = {one.arm for one in scene.items if one.metric == "latency" and one.e}
    assert slow == {"canary"}

    scene.end()
    scene.begin()
    scene.add(canary=(10, 1, 0), primary=(20, 0, 0))  # counters begin anew
    scene.read_until(50, 5)
    scene.read_until(410, 0, "primary")

    scene.end()
    time.sleep(5)
    assert [one for _ in range(3) for one in scene.read()] == []  # stale: no data, which holds
    scene.begin()
    scene.add(canary=(3, 0, 0), primary=(1, 0, 0))
    scene.read_until(53, 5)

    polls = episode_from_prometheus(
        scene.url, load_policy(POLICY), namespace="n", name="m", start=started, end=time.time(), client=scene.client
    )
    errors = [poll for poll in polls if poll.metric == "errors"]
    assert (sum(poll.n_c for poll in errors), sum(poll.e_c for poll in errors)) == (53, 5)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_real_prometheus_reads_each_profiles_selectors(scene: Scene, profile: str) -> None:
    """Every question is answered, by nothing where there is nothing."""
    policy = load_policy(json.dumps({"metrics": {"feedback": None}, "prometheus": {"profile": profile}}))
    source = PrometheusSource(scene.url, policy, namespace="n", name="m", client=scene.client)
    assert source.read(None).position is not None
    assert source.error == ""
