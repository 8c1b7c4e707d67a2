"""Rules and dashboards in a real Prometheus over a real rollout: the real Envoy before two servers, the real judge on
its counters, a look for drift at texts that changed. Flagger's weight and phase are the only series that the test
itself shows.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cluster.rootfs import envoy
from coalmine.cluster.tally import Tally
from coalmine.drift import metrics, resources
from coalmine.drift.health import health
from coalmine.drift.reading import Fitted
from coalmine.drift.run import of_texts
from coalmine.drift.watch import Plan
from coalmine.settings import Settings
from manifests.monitoring.estate import RULES, Query, boards, filled, queries
from manifests.monitoring.shadow import draw
from unit.drift.test_watch import CALM, LOUD, texts
from unit.judge.running import Running, begin, judge
from unit.judge.test_envoy_real import configuration, free_port, process, wait

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
FAULTY = Path(__file__).parents[2] / "unit" / "judge" / "faulty.py"
POLICY = {
    "metrics": {"feedback": None, "latency": {"edge_seconds": 0.1}},
    "prometheus": {"profile": "envoy-gateway", "every_seconds": 1},
}
# No Bento, no votes and no client's connection that is open for long are part of this scene.
ABSENT = {"BentoML: predictions per second", "BentoML: in progress", "Votes per second", "Closed in an hour"}


@dataclass
class Flagger:
    """What Flagger shows of one Canary, as pkg/metrics/recorder.go writes it; beside it the closer's own series."""

    weight: int = 50
    phase: int = 0
    failures: int = 0
    closer: Tally = field(default_factory=Tally)

    def text(self) -> str:
        named = 'name="sentiment",namespace="sentiment"'
        ended = f'{named},deployment_strategy="canary",analysis_status="completed"'
        return (
            'flagger_info{version="1.44.0",mesh_provider="gatewayapi:v1"} 1\n'
            f'flagger_canary_weight{{workload="sentiment",namespace="sentiment"}} {self.weight}\n'
            f'flagger_canary_weight{{workload="sentiment-primary",namespace="sentiment"}} {100 - self.weight}\n'
            f"flagger_canary_status{{{named}}} {self.phase}\n"
            f"flagger_canary_successes_total{{{ended}}} 1\n"
            f"flagger_canary_failures_total{{{ended}}} {self.failures}\n"
        ) + self.closer.exposition().decode()


def drift(settings: Settings, *, judge: int) -> Callable[[], str]:
    """What `coalmine drift` writes of texts that changed, with what the judge's process takes by then."""
    plan = Plan(window=20, reference=100, parts=199)
    tenant = of_texts(texts(LOUD, 100, 7), texts(CALM, 100, 6), Fitted(), plan, name="default")
    (settings.state / "run").mkdir(parents=True)
    record = {"name": "judge", "pid": judge, "created": psutil.Process(judge).create_time(), "marks": {}}
    (settings.state / "run" / "judge.json").write_text(json.dumps(record), encoding="utf-8")

    def look() -> str:
        taken = resources.processes(settings)
        return metrics.text(health([tenant], made_at=time.time(), model="sentiment", alpha=0.05, processes=taken))

    return look


@contextmanager
def served(text: Callable[[], str]) -> Iterator[int]:
    """An exporter on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Scene:
    """A rollout under traffic, and the Prometheus that watches it."""

    flagger: Flagger
    judge: Running
    gateway: str
    client: httpx.Client
    started: float = field(default_factory=time.time)

    def traffic(self, requests: int, *, bad: int) -> None:
        """To both arms in turn; of ten requests to the canary `bad` fail."""
        for number in range(requests):
            failed = number % 10 < bad
            for arm in ("primary", "canary"):
                path = "/500" if failed and arm == "canary" else "/200"
                self.client.get(f"{self.gateway}{path}", headers={"x-arm": arm})

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """An instant query."""
        found = self.client.get("/api/v1/query", params={"query": expr}).json()
        assert found["status"] == "success", found
        return list(found["data"]["result"])

    def shown(self, expr: str) -> list[dict[str, Any]]:
        """What a panel would draw since the scene began."""
        # A step further: the last whole one may lie before what has just been recorded.
        span = {"start": self.started, "end": time.time() + 1, "step": 1}
        found = self.client.get("/api/v1/query_range", params={"query": expr, **span}).json()
        assert found["status"] == "success", found
        return list(found["data"]["result"])

    def until(self, expr: str, *, bad: int = 0) -> None:
        """Traffic until the query returns something."""
        for _ in range(150):
            self.traffic(20, bad=bad)
            if self.ask(expr):
                return
            time.sleep(0.1)
        raise AssertionError(f"{expr}\n{self.judge.said}\n{self.judge.get('/metrics').text}")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    http, admin, port = free_port(), free_port(), free_port()
    servers = {arm: free_port() for arm in ("primary", "canary")}
    (tmp_path / "envoy.json").write_text(configuration(http, admin, servers), encoding="utf-8")
    (tmp_path / "sentiment.sentiment.yaml").write_text(json.dumps(POLICY), encoding="utf-8")
    flagger, options = Flagger(), {"--access-log": "", "--prometheus": f"http://127.0.0.1:{port}"}
    with ExitStack() as stack:
        for arm, number in servers.items():
            line = ["python3", str(FAULTY), str(number)]
            stack.enter_context(process(line, tmp_path / f"{arm}.log"))
        line = [str(envoy()), "-c", str(tmp_path / "envoy.json"), "--concurrency", "1", "--use-dynamic-base-id"]
        stack.enter_context(process([*line, "-l", "error"], tmp_path / "envoy.log"))
        running = stack.enter_context(judge(tmp_path, more=options))
        platform = stack.enter_context(served(flagger.text))
        assert running.process is not None
        settings = Settings(project=tmp_path, state=tmp_path / "state", model="sentiment")
        looks = stack.enter_context(served(drift(settings, judge=running.process.pid)))
        targets = {"envoy": admin, "platform": platform, "judge": running.port, "drift": looks}
        (tmp_path / "prometheus.yml").write_text(json.dumps(scrapes(targets)), encoding="utf-8")
        line = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
        line.append(f"--web.listen-address=127.0.0.1:{port}")
        stack.enter_context(process(line, tmp_path / "prometheus.log"))
        for one in (*servers.values(), http, admin, port):
            wait(one)
        client = stack.enter_context(httpx.Client(timeout=15, base_url=f"http://127.0.0.1:{port}"))
        yield Scene(flagger, running, f"http://127.0.0.1:{http}", client)


def scrapes(targets: dict[str, int]) -> dict[str, Any]:
    """Every second, with the rules of this repository; `honor_labels` as it is by default, which renames."""
    jobs = [
        {
            "job_name": name,
            "metrics_path": "/stats/prometheus" if name == "envoy" else "/metrics",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": "elsewhere"}}],
        }
        for name, port in targets.items()
    ]
    each = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    files = [str(path) for path in sorted(RULES.glob("*.yaml")) if path.name != "kustomization.yaml"]
    return {"global": each, "rule_files": files, "scrape_configs": jobs}


def firing(alert: str, state: str = "firing") -> str:
    return f'ALERTS{{alertname="{alert}",alertstate="{state}"}}'


def test_a_faulty_canary_is_seen_on_every_panel_and_its_alerts_fire(scene: Scene) -> None:
    """Weights, failures with intervals, evidence, the decision; then the weight that nobody takes away, and the end."""
    scene.until('envoy_cluster_upstream_rq_completed{envoy_cluster_name=~".*/1"} > 0')
    begin(scene.judge)
    scene.until('coalmine:decision:now{decision="CONTINUE"} == 1')
    scene.until('coalmine:decision:now{decision="ROLLBACK"} == 1', bad=5)
    # The verdict stands and the weight stays: a minute later this is a page.
    scene.until(firing("CoalmineVerdictNotActedOn", "pending"), bad=5)
    scene.until("coalmine:arm_errors:share10m > coalmine:arm_errors:lower10m")
    share = {one["metric"]["arm"]: float(one["value"][1]) for one in scene.ask("coalmine:arm_errors:share10m")}
    assert share["primary"] == 0
    assert share["canary"] > 0.05
    scene.flagger.closer.waiting.labels("sentiment", "sentiment").set(3)
    scene.flagger.closer.leads.set(1)
    scene.flagger.weight, scene.flagger.phase, scene.flagger.failures = 0, 2, 1
    scene.until(firing("CoalmineRolledBack"))
    scene.until("coalmine:closing_waits:seconds == 3")
    assert not scene.ask(firing("CoalmineVerdictNotActedOn"))
    for name, board in boards().items():
        if folder := os.environ.get("COALMINE_PICTURES"):
            draw(board, scene.shown, Path(folder) / name.replace(".json", ".png"))
    empty = [query for query in queries() if query.panel not in ABSENT and not scene.shown(mine(query))]
    # One scene has no second leader, retry or failed source: series that a first event makes.
    assert {query.panel for query in empty} <= {"Retries and broken watches per second", "Failures per second"}, empty


def mine(query: Query) -> str:
    return filled(query.expr, namespace="sentiment", name="sentiment")
