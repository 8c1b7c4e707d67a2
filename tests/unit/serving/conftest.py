from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from coalmine.feedback import token


class Build(Protocol):
    def __call__(self, folder: Path, *, release: str = ..., **other: str) -> Path: ...


@dataclass(frozen=True)
class Arm:
    """A real serving process."""

    process: subprocess.Popen[str]
    port: int
    key: Path
    predictions: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, *, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, f"the arm ended with {self.process.returncode}"
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the arm never became ready")

    def predict(self, text: str = "a lovely day") -> httpx.Response:
        return httpx.post(f"{self.url}/predict", json={"text": text})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def build() -> Build:
    spec = importlib.util.spec_from_file_location("serving_bento", Path(__file__).parent / "bento.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Build = module.build
    return made


@pytest.fixture(scope="session")
def bento(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("bento") / "sentiment")


@pytest.fixture(scope="session")
def start_arm() -> Iterator[Callable[..., Arm]]:
    """start_arm(bento, folder, faults="error_rate=1", spare=False, drain=0.5); all are gone after the session."""
    started: list[subprocess.Popen[str]] = []

    def start(bento: Path, folder: Path, *, faults: str = "", spare: bool = False, drain: float = 0.5) -> Arm:
        port = free_port()
        key = folder / "feedback.key"
        token.make_key(key)
        environment = {
            **os.environ,
            "COALMINE_FAULTS": faults,
            "COALMINE_FEEDBACK_KEY": str(key),
            "COALMINE_PREDICTIONS": str(folder / "predictions"),
            "BENTOML_HOME": str(folder / "bentoml"),
        }
        command = [sys.executable, "-m", "coalmine.release.serve", "--drain-seconds", str(drain)]
        command += ["--spare"] if spare else ["--port", str(port), "--bento", str(bento)]
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return Arm(process, port, key, folder / "predictions")

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def arm(bento: Path, tmp_path: Path, start_arm: Callable[..., Arm]) -> Iterator[Callable[..., Arm]]:
    """Starts arms of the test's own: arm("error_rate=1"), arm(bento=other), arm(spare=True)."""
    own: list[Arm] = []

    def start(faults: str = "", *, bento: Path = bento, spare: bool = False, drain: float = 0.5) -> Arm:
        own.append(start_arm(bento, tmp_path, faults=faults, spare=spare, drain=drain))
        return own[-1]

    yield start
    for one in own:
        if one.process.poll() is None:
            one.process.kill()
