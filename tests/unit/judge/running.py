"""A real judge process over a log that the test writes."""

from __future__ import annotations

import json
import random
import signal
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

NEW, OLD = "m2-abcdef0", "m1-abcdef0"
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
    database: str = ""  # default: a file in the folder
    name: str = "judge"  # of the replica
    more: dict[str, object] = field(default_factory=dict)  # further options; "" for one takes it away
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10, trust_env=False))

    @property
    def log(self) -> Path:
        return self.folder / "access.jsonl"

    @property
    def said(self) -> str:
        """What the process wrote so far."""
        return (self.folder / f"{self.name}.log").read_text()

    def start(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        arguments = {
            "--port": self.port, "--database": self.database or self.folder / "judge.db", "--access-log": self.log,
            "--feedback": self.folder / "feedback.db", "--policies": self.folder, "--replica-name": self.name,
            **self.more,
        }  # fmt: skip
        given = (str(word) for pair in arguments.items() if pair[1] != "" for word in pair)
        with (self.folder / f"{self.name}.log").open("ab") as out:
            self.process = subprocess.Popen([sys.executable, "-m", "coalmine.judge", *given], stdout=out, stderr=out)
        self.wait()

    def wait(self) -> None:
        """Until it is well."""
        assert self.process is not None
        for _ in range(1200):  # a minute: a busy machine is no failure
            try:
                if self.get("/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
            if self.process.poll() is not None:
                break
        self.kill()
        raise AssertionError(self.said)

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=30)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(f"http://127.0.0.1:{self.port}{path}")

    def post(self, path: str, body: object, *, token: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.client.post(f"http://127.0.0.1:{self.port}{path}", json=body, headers=headers)

    def hook(self, kind: str, **more: Any) -> tuple[int, str]:
        answer = self.post(f"/hooks/{kind}", {**KEY, "phase": "Progressing", **more})
        return answer.status_code, answer.text

    def write(self, *lines: str) -> None:
        with self.log.open("a") as log:
            log.write("".join(lines))

    def analysis(self, number: int = 1) -> dict[str, Any]:
        return dict(self.get(f"/api/v1/analyses/{number}").json())

    def polls(self, number: int = 1) -> list[dict[str, Any]]:
        return list(self.get(f"/api/v1/analyses/{number}/polls").json())


@contextmanager
def judge(folder: Path, **given: Any) -> Iterator[Running]:
    running = Running(folder, **given)
    running.start()
    try:
        yield running
    finally:
        running.client.close()
        running.kill()


class Traffic:
    """120 requests a second in the log's own time, which ends about now unless it is `behind`."""

    def __init__(self, running: Running, *, behind: float = 60.0, seed: int = 1) -> None:
        self.running, self.t, self.rng, self.epoch = running, time.time() - behind, random.Random(seed), 1

    def step(self, weight: int, seconds: float, *, bad: float = 0.0, canary: str = NEW, primary: str = OLD) -> None:
        self.epoch += 1
        self.more(weight, seconds, bad=bad, canary=canary, primary=primary)

    def more(self, weight: int, seconds: float, *, bad: float = 0.0, canary: str = NEW, primary: str = OLD) -> None:
        lines = []
        for _ in range(int(120 * seconds)):
            self.t += 1 / 120
            is_canary = self.rng.random() < weight / 100
            failed = self.rng.random() < bad and (is_canary or weight == 0)
            arm, release = ("canary", canary) if is_canary else ("primary", primary)
            status = 500 if failed else 200
            lines.append(line(round(self.t, 3), arm, release, weight=weight, epoch=self.epoch, status=status))
        self.running.write(*lines)


def begin(running: Running, **more: object) -> None:
    assert running.hook("confirm-rollout", **more)[0] == 200
    assert running.hook("pre-rollout", **more)[0] == 200
    assert running.hook("confirm-traffic-increase", **more) == (200, "earned\n")


def settled(running: Running) -> dict[str, object]:
    """What must be equal to the last bit, whoever computed it."""
    found = running.analysis()
    return {key: found[key] for key in ("decision", "reason", "metrics", "log_e_mean", "weights", "steps", "failed")}
