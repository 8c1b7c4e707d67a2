"""The judge with a Prometheus and nothing else of Coalmine, asked as Flagger asks it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from unit.judge.running import Running, judge
from unit.judge.scraped import Scraped, prometheus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
POLICY = """
prometheus: {profile: istio, every_seconds: 1}
metrics: {latency: null, feedback: null}
minimum_seconds: 1
"""


class Mesh:
    """What Istio and Flagger would show: each `tick` is a scrape, with some requests more in each arm."""

    def __init__(self) -> None:
        self.scraped = Scraped()
        self.canary, self.failed, self.primary, self.primary_failed = 7, 0, 70, 0

    def tick(self, weight: int, *, canary: int = 0, failed: int = 0, primary_failed: int = 0) -> None:
        t = time.time()
        primary = canary * (100 - weight) // weight if weight else 20
        self.canary, self.failed, self.primary = self.canary + canary, self.failed + failed, self.primary + primary
        self.primary_failed += primary_failed
        for arm, code, value in (
            ("sentiment", "200", self.canary - self.failed),
            ("sentiment", "503", self.failed),
            ("sentiment-primary", "200", self.primary),
            ("sentiment-primary", "503", self.primary_failed),
        ):
            labels = {"reporter": "source", "destination_workload_namespace": "sentiment", "response_code": code}
            self.scraped.scrape(t, "istio_requests_total", value, destination_workload=arm, **labels)
        for arm, share in (("sentiment", weight), ("sentiment-primary", 100 - weight)):
            self.scraped.scrape(t, "flagger_canary_weight", share, workload=arm, namespace="sentiment")


def until(running: Running, hook: str, mesh: Mesh, *, weight: int, canary: int, failed: int) -> str:
    """Ask this hook while traffic flows, until it says yes; the sentence that comes with it."""
    said = ""
    for _ in range(120):
        mesh.tick(weight, canary=canary, failed=failed)
        status, said = running.hook(hook)
        if status == 200:
            return said
        time.sleep(0.25)
    raise AssertionError(f"{hook}: {said}\n{running.analysis()}\n{running.said}")


def opened(running: Running, mesh: Mesh) -> None:
    assert running.hook("confirm-rollout")[0] == 200
    assert running.hook("pre-rollout")[0] == 200
    for _ in range(8):
        mesh.tick(0)
        time.sleep(0.25)
    assert running.hook("confirm-traffic-increase")[0] == 200


def test_a_bad_canary_is_rolled_back_and_a_killed_judge_counts_nothing_twice(tmp_path: Path) -> None:
    """By the counters alone; what the polls hold never goes beyond what the mesh did."""
    mesh = Mesh()
    (tmp_path / "sentiment.sentiment.yaml").write_text(POLICY)
    with prometheus(mesh.scraped) as server:
        with judge(tmp_path, more={"--prometheus": server.url, "--access-log": "", "--feedback": ""}) as running:
            opened(running, mesh)
            for _ in range(8):
                mesh.tick(10, canary=1)
                time.sleep(0.25)
            running.kill()
            running.start()
            assert running.hook("confirm-promotion")[0] == 409
            said = until(running, "rollback", mesh, weight=10, canary=4, failed=1)
            assert "canary errors" in said
            polls = running.polls()
        assert 0 < sum(poll["n_c"] for poll in polls) <= mesh.canary - 7
        assert 0 < sum(poll["e_c"] for poll in polls) <= mesh.failed
        assert {poll["step"] for poll in polls} == {10}


def test_a_good_canary_earns_its_step_and_its_promotion(tmp_path: Path) -> None:
    """With the weight of Flagger's gauge."""
    mesh, given = Mesh(), {"--access-log": "", "--feedback": ""}
    (tmp_path / "sentiment.sentiment.yaml").write_text(POLICY)
    with prometheus(mesh.scraped) as server, judge(tmp_path, more={"--prometheus": server.url, **given}) as running:
        opened(running, mesh)
        until(running, "confirm-traffic-increase", mesh, weight=20, canary=30, failed=0)
        until(running, "confirm-promotion", mesh, weight=50, canary=40, failed=0)
        assert running.hook("rollback")[0] == 409
        assert running.hook("post-rollout", phase="Succeeded")[0] == 200


def test_a_fault_after_the_promotion_is_seen_in_the_primary_that_was_the_canary(tmp_path: Path) -> None:
    """The gateway's counters name no release: that it bakes is known from the rollout's own word."""
    mesh, given = Mesh(), {"--access-log": "", "--feedback": ""}
    (tmp_path / "sentiment.sentiment.yaml").write_text(f"{POLICY}bake: {{seconds: 60}}\n")
    with prometheus(mesh.scraped) as server, judge(tmp_path, more={"--prometheus": server.url, **given}) as running:
        opened(running, mesh)
        until(running, "confirm-promotion", mesh, weight=50, canary=40, failed=0)
        assert running.hook("post-rollout", phase="Succeeded")[0] == 200
        running.kill()
        running.start()
        for _ in range(80):
            mesh.tick(0, primary_failed=8)
            if running.hook("rollback", phase="Succeeded")[0] == 200:
                break
            time.sleep(0.25)
        found = running.analysis()
        assert (found["status"], found["decision"]) == ("baking", "ROLLBACK"), found
        assert found["bake_requests"] > 0
