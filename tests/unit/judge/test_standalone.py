"""`pip install coalmine[judge]` is a whole judge: nothing else of Coalmine's extras is there, and none is missed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[3]
UV = ROOT / ".venv" / "uv" / "bin" / "uv"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def run(*command: str, cwd: Path) -> str:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COALMINE", "VIRTUAL"))
    }
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel with the extra `judge`, in the versions of the lock."""
    folder = tmp_path_factory.mktemp("standalone")
    build = (sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    wheel = next(folder.glob("*.whl"))
    run(str(UV), "venv", "--quiet", "--python", sys.executable, str(folder / "venv"), cwd=folder)
    python = str(folder / "venv" / "bin" / "python")
    lock = str(ROOT / "locks" / "local.txt")
    run(str(UV), "pip", "install", "--quiet", "--python", python, "-c", lock, f"{wheel}[judge]", cwd=folder)
    return folder / "venv" / "bin"


@pytest.fixture(scope="module")
def service(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Its URL, and a token that may push."""
    folder = tmp_path_factory.mktemp("judge")
    token = run(
        str(programs / "coalmine"), "judge", "token", "ci", "--may", "push", "--tokens", "tokens.json", cwd=folder
    ).strip()
    (folder / "shop.model.yaml").write_text("minimum_seconds: 0\nmetrics: {latency: null, feedback: null}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(programs / "coalmine"), "judge", "serve", "--database", "judge.db", "--tokens", "tokens.json"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--policies", ".", "--port", str(port)], cwd=folder, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            raise AssertionError((folder / "log").read_text())
        assert process.poll() is None
        yield url, token
    finally:
        process.terminate()
        assert process.wait(timeout=20) is not None
    said = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    assert {"opened", "rollback"} <= {line["event"] for line in said}
    assert token not in (folder / "log").read_text()


def hook(url: str, kind: str, checksum: str) -> tuple[int, str]:
    body = {"namespace": "shop", "name": "model", "checksum": checksum, "phase": "Progressing"}
    answer = httpx.post(f"{url}/hooks/{kind}", json=body, trust_env=False)
    return answer.status_code, answer.text


def push(service: tuple[str, str], release: str, *, bad: int) -> None:
    """Thirty readings of 40 canary requests among 400, one each second up to now."""
    url, token = service
    outcomes = [
        {"id": f"{release}-{arm}-{second}", "t": time.time() - 30 + second, "metric": "errors", "arm": arm, "n": n,
         "bad": e, "release": release if arm == "canary" else "m1", "weight": 10}
        for second in range(30)
        for arm, n, e in (("canary", 40, bad), ("primary", 360, 0))
    ]  # fmt: skip
    body = {"namespace": "shop", "name": "model", "outcomes": outcomes}
    headers = {"Authorization": f"Bearer {token}"}
    for stored in (60, 0):
        answer = httpx.post(f"{url}/api/v1/push", json=body, headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["stored"]) == (200, stored), "a push may be repeated"


def test_a_good_canary_is_promoted_and_a_bad_one_rolled_back_on_pushes_alone(service: tuple[str, str]) -> None:
    url, _ = service
    for checksum, bad, yes, no in (
        ("c1", 0, "confirm-promotion", "rollback"),
        ("c2", 4, "rollback", "confirm-promotion"),
    ):
        assert hook(url, "confirm-rollout", checksum)[0] == 200
        assert hook(url, "pre-rollout", checksum)[0] == 200
        push(service, f"release-{checksum}", bad=bad)
        status, text = hook(url, yes, checksum)
        assert status == 200, text
        assert hook(url, no, checksum)[0] == 409
    found = httpx.get(f"{url}/api/v1/analyses", trust_env=False).json()
    assert [one["decision"] for one in found] == ["ROLLBACK", "SUPERSEDED"]
    assert httpx.get(f"{url}/", trust_env=False).text.lower().startswith("<!doctype html>")


def test_it_stays_small(programs: Path, service: tuple[str, str]) -> None:
    """Idle it holds less than 150 MB, and none of what only the other extras need."""
    del service
    absent = "from importlib.util import find_spec as f; print([*filter(f, ('mlflow', 'bentoml', 'sklearn'))])"
    assert run(str(programs / "python"), "-c", absent, cwd=programs).strip() == "[]"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = programs.parent
    command = [
        str(programs / "python"),
        "-m",
        "coalmine.judge",
        "--database",
        str(folder / "idle.db"),
        "--port",
        str(port),
    ]
    process = subprocess.Popen([*command, "--access-log", str(folder / "none")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.terminate()
        process.wait(timeout=20)
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    assert resident <= 150, f"{resident:.0f} MB"
