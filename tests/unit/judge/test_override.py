"""A person may approve, hold or roll back; who and why are kept, and evidence for a rollback still stands above it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine.edge.config import from_settings
from coalmine.judge.tokens import add, write_secret
from coalmine.local import parts
from coalmine.settings import load
from unit.judge.running import Running, Traffic, begin, judge

WHY = {"why": "the shop's sale begins at noon"}


@pytest.fixture
def secret(tmp_path: Path) -> str:
    return add(tmp_path / "tokens.json", "ann", may=("override",))


@pytest.fixture
def running(tmp_path: Path, secret: str) -> Iterator[Running]:
    del secret
    with judge(tmp_path, more={"--tokens": tmp_path / "tokens.json"}) as process:
        yield process


def say(running: Running, action: str, token: str, **more: str) -> int:
    return running.post("/api/v1/analyses/1/override", {"action": action, **WHY, **more}, token=token).status_code


def test_a_hold_holds_until_it_is_cleared_and_survives_a_restart(running: Running, secret: str) -> None:
    begin(running)
    traffic = Traffic(running)
    traffic.step(10, 8)
    assert say(running, "hold", secret, who="Ann Smith") == 200
    for kind in ("confirm-promotion", "confirm-traffic-increase"):
        status, text = running.hook(kind)
        assert (status, "Ann Smith (ann)" in text, WHY["why"] in text) == (409, True, True)
    assert running.hook("rollout")[0] == 200, "a hold is no failed check"
    running.kill()
    running.start()
    assert running.hook("confirm-traffic-increase")[0] == 409
    assert running.analysis()["override"]["action"] == "hold"
    assert say(running, "clear", secret) == 200
    assert running.hook("confirm-traffic-increase")[0] == 200
    kept = running.get("/api/v1/analyses/1/overrides").json()
    assert [(one["action"], one["who"]) for one in kept] == [("hold", "Ann Smith (ann)"), ("clear", "ann")]
    kinds = [event["kind"] for event in running.get("/api/v1/analyses/1/events").json()]
    assert [kind for kind in kinds if kind.startswith("override")] == ["override-hold", "override-clear"]


def test_an_approval_passes_steps_and_promotion_but_not_a_rollback_on_evidence(running: Running, secret: str) -> None:
    begin(running)
    traffic = Traffic(running)
    traffic.step(30, 1)
    assert running.hook("confirm-traffic-increase")[0] == 409
    assert say(running, "approve", secret) == 200
    assert running.hook("confirm-traffic-increase")[0] == 200
    status, text = running.hook("confirm-promotion")
    assert (status, text.startswith("approved by ann: ")) == (200, True)
    traffic.more(30, 20, bad=0.3)
    assert running.hook("rollback")[0] == 200
    assert running.hook("confirm-promotion")[0] == 409
    assert say(running, "approve", secret) == 409


def test_a_rollback_by_hand_is_answered_like_one_on_evidence(running: Running, secret: str) -> None:
    begin(running)
    Traffic(running).step(30, 3)
    assert say(running, "rollback", secret) == 200
    status, text = running.hook("rollback")
    assert (status, text.startswith("rolled back by ann: ")) == (200, True)
    for kind in ("confirm-promotion", "confirm-traffic-increase", "rollout"):
        assert running.hook(kind)[0] == 409
    assert running.hook("post-rollout", phase="Failed")[0] == 200
    assert running.analysis()["outcome"] == "rolled_back"
    assert say(running, "hold", secret) == 409, "it is closed"
    begin(running)
    assert running.analysis(2)["decision"] == "CONTINUE", "another attempt is another question"


def test_who_has_no_token_changes_nothing(running: Running, secret: str, tmp_path: Path) -> None:
    begin(running)
    pusher = add(tmp_path / "tokens.json", "ci", may=("push",))
    narrow = add(tmp_path / "tokens.json", "bob", may=("override",), namespaces=("other",))
    assert [say(running, "rollback", token) for token in ("", "cmj_wrong", pusher, narrow)] == [401, 401, 403, 403]
    path = "/api/v1/analyses/1/override"
    bad = (
        {"action": "explode", **WHY},
        {"action": "hold"},
        {"action": "hold", "why": " "},
        {"action": "hold", "why": "a\nb"},
    )
    assert [running.post(path, body, token=secret).status_code for body in bad] == [422] * 4
    assert running.post("/api/v1/analyses/9/override", {"action": "hold", **WHY}, token=secret).status_code == 404
    assert running.get("/api/v1/analyses/1/overrides").json() == []
    assert running.hook("rollback")[0] == 409
    assert not any(token in running.said for token in (secret, pusher, narrow))


def test_the_command_overrides_with_a_secret_from_a_file(running: Running, secret: str, tmp_path: Path) -> None:
    begin(running)
    write_secret(tmp_path / "mine", secret)
    url = f"http://127.0.0.1:{running.port}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COALMINE")}
    program = "import sys; from coalmine.cli import main; sys.exit(main())"
    words = ["--json", "judge", "override", "1", "--action", "hold", "--why", "wait for the sale", "--judge", url]
    run = [sys.executable, "-c", program, *words]
    done = subprocess.run(
        [*run, "--token-file", str(tmp_path / "mine")], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert '"action": "hold"' in done.stdout
    refused = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path, env=environ)
    assert (refused.returncode, "COALMINE_JUDGE_TOKEN" in refused.stderr) == (2, True)
    wrong = {**environ, "COALMINE_JUDGE_TOKEN": "cmj_nonsense"}
    unknown = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path, env=wrong)
    assert (unknown.returncode, "nonsense" in unknown.stderr) == (3, False)
    assert running.hook("confirm-promotion")[1].startswith("CONTINUE: held by ann: wait for the sale")


@pytest.mark.slow
def test_on_one_machine_the_command_needs_no_set_up(tmp_path: Path) -> None:
    """The judge as `coalmine up` starts it, and its owner in the project's folder."""
    project = tmp_path / "project"
    (project / "bentos" / "sentiment").mkdir(parents=True)
    (project / "bentos" / "sentiment" / "service.py").touch()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (project / "coalmine.toml").write_text(f"[ports]\njudge = {port}\n")
    here = load(project=project, environ={})
    parts.ensure_judge_token(here)
    parts.ensure_judge_token(here)
    assert oct(here.judge_token.stat().st_mode & 0o777) == "0o600"
    part = next(part for part in parts.parts(here, from_settings(here)) if part.name == "judge")
    running = Running(tmp_path, port=port)
    running.process = subprocess.Popen(part.command, env=dict(part.env), stderr=subprocess.DEVNULL)
    try:
        running.wait()
        begin(running)
        program = "import sys; from coalmine.cli import main; sys.exit(main())"
        words = ["judge", "override", "1", "--action", "hold", "--why", "lunch"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COALMINE")}
        subprocess.run([sys.executable, "-c", program, *words], cwd=project, env=environ, check=True, timeout=60)
        assert "held by owner: lunch" in running.hook("confirm-promotion")[1]
    finally:
        running.client.close()
        running.kill()
