"""A real judge process over a log that the test writes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

KEY = {"name": "sentiment", "namespace": "sentiment", "checksum": "c1"}


def line(t: float, arm: str, release: str, **more: Any) -> str:
    row = {
        "t": t, "id": "0", "prediction": "", "arm": arm, "slot": "blue", "release": release, "weight": 10, "epoch": 2,
        "method": "POST", "path": "/predict", "status": 200, "upstream_status": "200", "seconds": 0.01,
        "upstream_seconds": "0.009", "service_ms": "1.5", "attempt": "", "user": "", "bytes": 10, "tls": "",
        "traceparent": "",
    }  # fmt: skip
    return json.dumps({**row, **more}) + "\n"


@dataclass
class Running:
    """`start`, `kill`, `start` again: the folder is what remains."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10))

    @property
    def log(self) -> Path:
        return self.folder / "access.jsonl"

    def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        arguments = {
            "--port": self.port, "--database": self.folder / "judge.db", "--access-log": self.log,
            "--feedback": self.folder / "feedback.db", "--policies": self.folder,
        }  # fmt: skip
        command = [sys.executable, "-m", "coalmine.judge", *(str(x) for pair in arguments.items() for x in pair)]
        with (self.folder / "judge.log").open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ})
        for _ in range(200):
            try:
                if self.get("/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError((self.folder / "judge.log").read_text())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> httpx.Response:
        return self.client.get(f"http://127.0.0.1:{self.port}{path}")

    def hook(self, kind: str, **more: Any) -> tuple[int, str]:
        answer = self.client.post(
            f"http://127.0.0.1:{self.port}/hooks/{kind}", json={**KEY, "phase": "Progressing", **more}
        )
        return answer.status_code, answer.text

    def write(self, *lines: str) -> None:
        with self.log.open("a") as log:
            log.write("".join(lines))

    def analysis(self, number: int = 1) -> dict[str, Any]:
        return dict(self.get(f"/api/v1/analyses/{number}").json())


@contextmanager
def judge(folder: Path) -> Iterator[Running]:
    running = Running(folder)
    running.start()
    try:
        yield running
    finally:
        running.client.close()
        running.kill()
