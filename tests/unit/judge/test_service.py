"""A real judge process: Flagger's webhooks over HTTP, and kill -9 at any moment."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from coalmine.errors import BadInput
from coalmine.judge.service import open_desk
from unit.judge.running import KEY, NEW, OLD, Running, Traffic, begin, judge, line, settled

# What is answered where main went back to what the primary runs.
ALIKE = {
    "pre-rollout": 200, "rollout": 200, "confirm-traffic-increase": 200, "confirm-promotion": 200, "rollback": 409,
}  # fmt: skip


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with judge(tmp_path) as process:
        yield process


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One process for the tests that leave nothing behind."""
    with judge(tmp_path_factory.mktemp("calm")) as process:
        yield process


def test_a_healthy_release_earns_its_steps_and_is_promoted(running: Running) -> None:
    begin(running)
    traffic = Traffic(running)
    traffic.step(10, 1)
    status, text = running.hook("confirm-traffic-increase")
    assert (status, "of 50 canary requests at 10 %" in text) == (409, True)
    assert running.hook("rollout")[0] == 200, "CONTINUE is never a failed check"
    traffic.more(10, 7)
    assert running.hook("confirm-traffic-increase")[0] == 200
    assert running.hook("confirm-traffic-increase")[0] == 409, "one step is not earned twice"
    traffic.step(30, 6)
    assert running.hook("confirm-promotion")[0] == 409
    traffic.step(50, 25)
    assert running.hook("rollback")[0] == 409
    status, text = running.hook("confirm-promotion")
    assert status == 200, text
    assert text.startswith("canary errors 0.0 % (0 of ")
    traffic.step(0, 1, primary=NEW)
    assert running.hook("post-rollout", phase="Succeeded")[0] == 200
    found = running.analysis()
    assert (found["status"], found["outcome"], found["decision"]) == ("baking", "promoted", "PROMOTE")
    assert [w["weight"] for w in found["weights"]] == [10, 30, 50, 0]
    trace = running.get("/api/v1/analyses/1/trace").json()
    assert [p["t"] for p in trace] == sorted(p["t"] for p in trace)
    assert trace[-1]["metrics"]["errors"]["log_e_noninferior"] == found["metrics"]["errors"]["log_e_noninferior"]
    assert running.get("/api/v1/analyses?namespace=sentiment&name=sentiment").json()[0]["policy"]["version"] == 1
    assert running.get("/api/v1/analyses?name=another").json() == []


def test_failing_requests_roll_back_and_only_then(running: Running) -> None:
    begin(running)
    traffic = Traffic(running)
    traffic.step(30, 5)
    assert running.hook("rollback")[0] == 409
    traffic.more(30, 15, bad=0.2)
    status, text = running.hook("rollback")
    assert (status, text.startswith("canary errors ")) == (200, True)
    assert running.hook("rollout")[0] == 409
    assert running.hook("confirm-traffic-increase")[0] == 409
    assert running.hook("confirm-promotion")[0] == 409
    assert running.hook("rollback", phase="Succeeded")[0] == 409, "the bake is another question"
    found = running.analysis()
    assert found["decision"] == "ROLLBACK"
    assert found["metrics"]["errors"]["share"] > 0.9
    assert found["failed"] > 10
    assert running.hook("post-rollout", phase="Failed")[0] == 200
    begin(running)
    again = running.analysis(2)
    assert (again["attempt"], again["decision"], again["canary_requests"]) == (2, "CONTINUE", 0)
    assert running.analysis(1)["outcome"] == "rolled_back"


def test_a_fault_in_the_bake_time_goes_back(running: Running) -> None:
    begin(running)
    traffic = Traffic(running, behind=40)
    traffic.step(50, 22)
    assert running.hook("confirm-promotion")[0] == 200
    traffic.step(0, 3, primary=NEW)
    running.hook("post-rollout", phase="Succeeded")
    assert running.hook("rollback", phase="Succeeded")[0] == 409
    traffic.more(0, 6, bad=0.1, primary=NEW)
    status, text = running.hook("rollback", phase="Succeeded")
    assert status == 200
    assert text.startswith("after the promotion: errors ")


def test_another_canary_in_the_log_supersedes_the_attempt_and_moves_nothing(running: Running) -> None:
    begin(running)
    traffic = Traffic(running)
    traffic.step(30, 5)
    traffic.step(10, 2, canary="m3-abcdef0")
    assert running.hook("rollback")[0] == 409
    assert running.analysis()["decision"] == "SUPERSEDED"
    status, text = running.hook("confirm-traffic-increase", checksum="c2")
    assert (status, text) == (409, "0 of 50 canary requests at 10 % so far\n"), "its traffic flows: nothing is earned"
    traffic.more(10, 8, canary="m3-abcdef0")
    assert running.hook("confirm-traffic-increase", checksum="c2")[0] == 200
    found = running.analysis(2)
    assert (found["release"], found["checksum"]) == ("m3-abcdef0", "c2")


def test_a_revert_is_let_in_under_both_checksums_and_what_comes_after_it_is_judged(running: Running) -> None:
    """Flagger goes on under the checksum of what was taken back, then tries the primary's own spec once more."""
    begin(running)
    traffic = Traffic(running)
    traffic.step(30, 5)
    traffic.more(30, 1, canary=OLD)
    assert running.hook("rollback")[0] == 409
    assert running.analysis(1)["outcome"] == "superseded"
    for number, given in ((2, {}), (3, {"checksum": "c0"})):
        begin(running, **given) if given else running.hook("rollback")
        running.kill()
        running.start()
        traffic.step(30, 4, canary=OLD, bad=0.5)
        for kind, says in ALIKE.items():
            status, text = running.hook(kind, **given)
            assert (kind, status, text[:20]) == (kind, says, "main went back to m1")
        assert running.polls(number) == [], "nothing is held against it"
        assert running.analysis(number)["decision"] == "SUPERSEDED"
        assert running.hook("post-rollout", phase="Succeeded", **given)[0] == 200
        found = running.analysis(number)
        assert (found["status"], found["outcome"], found["bake_started"]) == ("closed", "superseded", None)
    running.hook("rollout", checksum="c9")
    traffic.step(30, 4, canary=OLD)
    assert running.hook("confirm-promotion", checksum="c9")[0] == 409, "a change beside the release file is no revert"


def test_what_was_taken_back_and_comes_again_is_judged_anew(running: Running) -> None:
    """Under one checksum all the while: what the canary runs decides."""
    begin(running)
    traffic = Traffic(running)
    traffic.step(30, 3)
    traffic.more(30, 1, canary=OLD)
    running.hook("rollout")
    traffic.more(30, 1, canary=OLD)
    assert running.hook("confirm-promotion")[0] == 200
    traffic.more(30, 2)
    assert running.hook("confirm-promotion")[0] == 409
    assert running.analysis(2)["outcome"] == "superseded"
    traffic.more(30, 15, bad=0.3)
    assert running.hook("rollback")[0] == 200
    assert running.analysis(3)["release"] == NEW


def test_people_roll_back_what_no_technical_metric_sees(running: Running, tmp_path: Path) -> None:
    begin(running)
    traffic = Traffic(running)
    traffic.step(50, 10)
    running.hook("event")
    rng, made = random.Random(5), traffic.t - 5
    votes = sqlite3.connect(tmp_path / "feedback.db")
    votes.execute(
        "CREATE TABLE votes(seq INTEGER PRIMARY KEY AUTOINCREMENT, prediction TEXT UNIQUE, release TEXT,"
        " predicted_at REAL, t REAL, good INTEGER NULL, correction TEXT, user TEXT)"
    )
    for i in range(400):
        release, down = (NEW, 0.6) if i % 2 else (OLD, 0.25)
        row = (str(i), release, made, traffic.t + i / 50, int(rng.random() > down))
        votes.execute("INSERT INTO votes(prediction, release, predicted_at, t, good) VALUES (?, ?, ?, ?, ?)", row)
    votes.commit()
    votes.close()
    status, text = running.hook("rollback")
    assert status == 200, text
    assert text.startswith("canary thumbs down ")


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_polls_and_verdict(database: str, tmp_path: Path) -> None:
    """kill -9 while lines come in, six times: no poll is lost or doubled, the verdict is the same to the last bit."""
    (tmp_path / "calm").mkdir()
    (tmp_path / "killed").mkdir()
    with judge(tmp_path / "calm") as calm, judge(tmp_path / "killed", database=database) as killed:
        begin(calm)
        begin(killed)
        # Ahead of the wall clock: only the log itself says when a poll is cut.
        traffic = Traffic(calm, behind=-3600.0, seed=3)
        rng = random.Random(3)
        for weight in (10, 10, 30, 30, 50, 50):
            traffic.step(weight, 4, bad=0.004)
            whole = calm.log.read_text()
            part = whole[len(killed.log.read_text()) if killed.log.exists() else 0 :]
            cut = rng.randrange(len(part))  # mostly in the middle of a line
            killed.write(part[:cut])
            time.sleep(rng.random())
            killed.kill()
            killed.write(part[cut:])
            killed.start()
        for process in (calm, killed):
            process.hook("rollout")
        assert killed.polls() == calm.polls()
        assert settled(killed) == settled(calm)
        routed = calm.log.read_text().count('"arm": "canary"')
        assert (killed.analysis()["canary_requests"], calm.analysis()["canary_requests"]) == (routed, routed)


@pytest.mark.parametrize(
    ("body", "says"),
    [("{", "body"), ("{}", "name"), ('{"name": "a"}', "namespace"), ('{"name": 1, "namespace": "b"}', "name")],
)
def test_a_malformed_hook_is_400_with_a_sentence(calm: Running, body: str, says: str) -> None:
    answer = calm.client.post(f"http://127.0.0.1:{calm.port}/hooks/rollback", content=body)
    assert (answer.status_code, answer.text.startswith(says)) == (400, True)
    assert calm.get("/api/v1/analyses").json() == []


def test_a_broken_policy_is_said_and_opens_nothing(running: Running, tmp_path: Path) -> None:
    (tmp_path / "sentiment.sentiment.yaml").write_text("alpha: 7\n")
    status, text = running.hook("confirm-rollout")
    assert (status, "sentiment.sentiment.yaml:1: alpha" in text) == (409, True)
    assert running.get("/api/v1/analyses").json() == []


def test_what_does_not_exist_is_404_and_a_path_in_a_name_is_refused(calm: Running) -> None:
    assert calm.get("/api/v1/analyses/9").status_code == 404
    assert calm.get("/api/v1/analyses/9/polls").status_code == 404
    assert calm.hook("no-such-hook")[0] == 404
    assert calm.hook("rollout", namespace="../etc")[0] == 400


def test_it_is_a_metric_provider_and_has_metrics_of_its_own(calm: Running) -> None:
    calm.hook("rollout", namespace="other")
    assert calm.get("/api/v1/query?query=vector(1)").json()["data"]["result"][0]["value"][1] == "1"
    name = KEY["name"]
    found = calm.get(
        f'/api/v1/query?query=coalmine_decision{{namespace="other",name="{name}",decision="CONTINUE"}}'
    ).json()
    assert found["data"]["result"][0]["value"][1] == "1"
    assert calm.get("/api/v1/query?query=sum(x)").status_code == 400
    exposed = calm.get("/metrics").text
    for series in (
        "polls_total 0.0",
        'hook_answers_total{kind="rollout",status="200"} 1.0',
        "leads 1.0",
        "lease_term 1.0",
    ):
        assert f"coalmine_judge_{series}\n" in exposed
    assert "coalmine_judge_pass_seconds_bucket" in exposed
    assert calm.get("/readyz").status_code == 200
    assert "/api/v1/analyses/{number}/override" in calm.get("/openapi.json").json()["paths"]
    assert calm.get("/").text.startswith("<!doctype html>")
    assert calm.get("/api/v1/policy/schema").json()["title"] == "Policy"


@pytest.mark.parametrize("database", ["/dev/null/judge.db", "nonsense://x"])
def test_a_database_that_does_not_open_is_a_users_mistake(tmp_path: Path, database: str) -> None:
    with pytest.raises(BadInput):
        open_desk(database=database, access_log=tmp_path / "log", feedback=tmp_path / "votes", policies=None)


def test_a_database_that_fails_later_decides_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """The disk is full at one pass and not at the next: what was read is read again, and counted once."""
    desk = open_desk(
        database=str(tmp_path / "judge.db"), access_log=tmp_path / "log", feedback=tmp_path / "votes", policies=None
    )
    desk.tick()
    desk.ensure("a", "b", "c")
    arms = (("canary", NEW), ("primary", OLD))
    lines = [line(100 + i / 50, arm, release) for i in range(200) for arm, release in arms]
    (tmp_path / "log").write_text("".join(lines))
    with sqlite3.connect(tmp_path / "judge.db") as direct:
        direct.execute("ALTER TABLE polls RENAME TO hidden")
    with pytest.raises(SQLAlchemyError):
        desk.tick()
    with sqlite3.connect(tmp_path / "judge.db") as direct:
        direct.execute("ALTER TABLE hidden RENAME TO polls")
    direct.close()
    desk.tick()
    live = desk.live("a", "b")
    assert live is not None
    assert live.counting.routed == {"10": 200}
    assert (
        sum(poll.n_c for poll in desk.store.polls(1) if poll.metric == "errors")
        == live.state.metrics["errors"].totals[0]
    )
    desk.store.close()
