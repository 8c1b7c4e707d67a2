"""What stands around a closer: a repository on a server, a judge's records, people's webhooks, a real MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from cluster.control import free_port
from coalmine.records import ReleaseId
from coalmine.release.file import ReleaseFile, path, render
from coalmine.release.git import Repository

ENV = "bench"
IMAGE = "registry.bench.test:5000/sentiment"


@dataclass
class Web:
    """A server on loopback that keeps what it is sent. `answer` makes (status, body) of a path; 599 hangs up."""

    answer: Callable[[str], tuple[int, object]]
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def keys(self, what: str) -> list[str]:
        """Of the notifications to a path, in the order in which they came."""
        return [body["key"] for at, body in self.got if at == what]


@contextmanager
def web(answer: Callable[[str], tuple[int, object]]) -> Iterator[Web]:
    made = Web(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.got.append((self.path, {**body, "key": self.headers["Idempotency-Key"]}))
            self.do_GET()

        def do_GET(self) -> None:
            status, body = made.answer(self.path.partition("?")[0])
            if status == 599:
                self.close_connection = True
                return
            told = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    made.port = server.server_port
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Forge:
    """A bare repository that others push to, and a person's clone of it."""

    bare: Repository
    clone: Repository

    @classmethod
    def at(cls, folder: Path, *, bare: Path | None = None) -> Forge:
        at = bare or folder / "forge.git"
        if bare is None:
            subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(at)], check=True)
        clone = folder / "clone"
        clone.mkdir(parents=True)
        made = cls(Repository(at, bare=True), Repository(clone))
        made.clone.run("init", "--quiet", "-b", "main")
        for key, value in (("user.name", "A Person"), ("user.email", "person@example.org")):
            made.clone.run("config", key, value)
        return made

    def release(self, release: ReleaseId, *, model: str = "sentiment", text: str = "") -> str:
        """Commit and push a release file (or any text in its place); returns the commit."""
        digest = f"sha256:{release.version:064x}"
        at = self.clone.path / path(model, ENV)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text or render(ReleaseFile(model, ENV, release, image=IMAGE, digest=digest)), encoding="utf-8")
        self.clone.run("add", "--all")
        self.clone.run("commit", "--quiet", "--allow-empty", "-m", f"release {release}")
        self.clone.run("push", "--quiet", "--force", str(self.bare.path), "HEAD:main")
        return self.clone.run("rev-parse", "HEAD").strip()

    def follow(self) -> None:
        """The person takes over what others pushed."""
        self.clone.run("pull", "--quiet", "--rebase", str(self.bare.path), "main")

    def named(self, model: str = "sentiment") -> str:
        return self.bare.text("main", path(model, ENV)) or ""

    def heals(self) -> int:
        return int(self.bare.run("rev-list", "--count", "--grep=^heal:", "main").strip())


def analysis(release: str, t: float, **more: object) -> dict[str, Any]:
    """As the judge's API shows one."""
    base: dict[str, Any] = {
        "id": 1, "namespace": "sentiment", "name": "sentiment", "release": release, "status": "closed",
        "outcome": "rolled_back", "decision": "ROLLBACK", "started": t, "ended": t + 60, "override": None,
        "weights": [],
        "reason": "canary errors 31 of 400 (7.8 %) against 2 of 1600 (0.1 %)",
    }  # fmt: skip
    return base | more


@contextmanager
def mlflow(folder: Path, *models: str) -> Iterator[str]:
    """A real MLflow server with these models in four versions each; yields its URL."""
    port = free_port()
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder)]
    command = [sys.executable, "-m", "mlflow", "server", *store, "--workers", "1", "--port", str(port)]
    environ = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(f"{url}/health", server)
        api = f"{url}/api/2.0/mlflow"
        for model in models:
            requests.post(f"{api}/registered-models/create", json={"name": model}, timeout=30).raise_for_status()
            for _ in range(4):
                made = {"name": model, "source": "s3://nowhere/model"}
                requests.post(f"{api}/model-versions/create", json=made, timeout=30).raise_for_status()
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        assert server.poll() is None
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.3)
    pytest.fail("MLflow did not start")
