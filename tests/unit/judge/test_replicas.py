"""Two judges, one database: one decides, the other reads along and takes over. Real processes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from coalmine.judge.tokens import add
from unit.judge.running import Running, Traffic, begin, judge, settled

pytestmark = pytest.mark.slow
SHORT = {"--lease-seconds": 2}


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait for what must come, a minute at most."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError(what)


def ready(running: Running) -> bool:
    return running.get("/readyz").status_code == 200


def test_the_follower_reads_along_and_says_who_decides(database: str, tmp_path: Path) -> None:
    add(tmp_path / "tokens.json", "ci", may=("push",))
    more = {**SHORT, "--tokens": tmp_path / "tokens.json"}
    with (
        judge(tmp_path, database=database, name="first", more=more) as first,
        judge(tmp_path, database=database, name="second", more=more) as second,
    ):
        begin(first)
        Traffic(first, behind=-3600).step(30, 5)
        assert first.hook("rollout")[0] == 200
        assert second.get("/healthz").status_code == 200
        assert (second.get("/readyz").status_code, second.get("/readyz").text) == (503, "standby\n")
        assert second.hook("rollback") == (503, "standby: first decides\n")
        eventually(lambda: second.polls() == first.polls(), "the follower lags")
        eventually(lambda: settled(second) == settled(first), "the follower sees it otherwise")
        token = add(tmp_path / "tokens.json", "ann", may=("override",))
        wish = {"action": "hold", "why": "lunch"}
        assert second.post("/api/v1/analyses/1/override", wish, token=token).status_code == 503
        assert first.post("/api/v1/analyses/1/override", wish, token=token).status_code == 200
        eventually(lambda: "held by ann" in second.analysis()["reason"], "the follower did not hear it")
        assert second.get("/api/v1/query?query=coalmine_judge_leads").json()["data"]["result"][0]["value"][1] == "0"
        first.kill(signal.SIGTERM)
        # It gave the lease up: nobody waits until it runs out.
        eventually(lambda: ready(second), "the follower does not take over")
        assert second.hook("rollback")[0] == 409
        first.start()
        assert first.hook("rollout") == (503, "standby: second decides\n")


def test_the_leader_is_killed_under_traffic_and_the_verdict_is_that_of_one_judge(database: str, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    with (
        judge(tmp_path / "alone") as alone,
        judge(tmp_path, database=database, name="first", more=SHORT) as first,
        judge(tmp_path, database=database, name="second", more=SHORT) as second,
    ):
        begin(alone)
        begin(first)
        traffic = Traffic(alone, behind=-3600)
        leader = first
        for weight in (10, 30, 50):
            before = len(alone.log.read_text()) if alone.log.exists() else 0
            traffic.step(weight, 5, bad=0.004)
            part = alone.log.read_text()[before:]
            first.write(part[: len(part) // 3])
            time.sleep(0.3)
            leader.kill()
            first.write(part[len(part) // 3 :])
            dead, leader = leader, second if leader is first else first
            eventually(lambda now=leader: ready(now), "nobody takes over")  # type: ignore[misc] # mypy infers no default
            dead.start()
        assert leader.hook("rollout")[0] == alone.hook("rollout")[0] == 200
        assert leader.polls() == alone.polls()
        assert settled(leader) == settled(alone)


def test_a_leader_that_was_paused_beyond_its_lease_writes_nothing_when_it_wakes(tmp_path: Path) -> None:
    with (
        judge(tmp_path, name="first", more=SHORT) as first,
        judge(tmp_path, name="second", more=SHORT) as second,
    ):
        begin(first)
        traffic = Traffic(first, behind=-3600)
        traffic.step(30, 3)
        first.hook("rollout")
        assert first.process is not None
        first.process.send_signal(signal.SIGSTOP)
        try:
            eventually(lambda: ready(second), "the follower does not take over")
            traffic.more(30, 5)
            assert second.hook("rollout")[0] == 200
            polls = second.polls()
        finally:
            first.process.send_signal(signal.SIGCONT)
        assert first.hook("rollout") == (503, "standby: second decides\n")
        assert second.polls() == first.polls() == polls
        assert second.analysis()["canary_requests"] == second.log.read_text().count('"arm": "canary"')
