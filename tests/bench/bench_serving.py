"""The example service against the plain recipe: one run, one machine, the same model, 16 keep-alive connections.

    pytest -m bench tests/bench/bench_serving.py -s

COALMINE_BENCH_BENTO=<folder> COALMINE_BENCH_TEXTS=<file, a text a line> measures a release that was built before.
Prints one line of JSON with both arms' figures and their ratios. Nothing is asserted by the clock, but every answer
must be a 2xx. Both run with one process and one BLAS thread; they take turns so that a noisy machine hits both.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import random
import socket
import statistics
import string
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union

from coalmine.feedback import token

HERE = Path(__file__).parent
CONNECTIONS = 16
SECONDS = 3.0
TURNS = 3


@dataclass
class Measured:
    """What the load client saw: `seconds` of each request in order of arrival."""

    took: float = 0.0
    seconds: list[float] = field(default_factory=list)
    not_2xx: int = 0

    def figures(self) -> dict[str, float]:
        cuts = statistics.quantiles(self.seconds, n=100, method="inclusive")
        return {
            "requests_per_second": round(len(self.seconds) / self.took, 1),
            "p50_ms": round(cuts[49] * 1000, 2),
            "p99_ms": round(cuts[98] * 1000, 2),
            "not_2xx": self.not_2xx,
        }


def a_model(seed: int = 1) -> tuple[Pipeline, list[str]]:
    """A pipeline of the example's kind and cost (1.5 ms a text, 11 ms a batch of 64) on made-up words."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 9))) for _ in range(6000)]
    texts = []
    for row in range(4000):
        marks = words[:300] if row % 2 else words[300:600]
        length = draw.randint(6, 24)
        texts.append(
            " ".join(
                draw.choice(marks) if draw.random() < 0.2 else words[min(5999, int(draw.paretovariate(0.6)))]
                for _ in range(length)
            )
        )
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=3, sublinear_tf=True),
    )
    pipeline = make_pipeline(features, LogisticRegression(C=4, max_iter=200))
    pipeline.fit(texts, [row % 2 for row in range(4000)])
    return pipeline, texts[:1000]


async def load(port: int, bodies: list[bytes], seconds: float) -> Measured:
    """CONNECTIONS closed-loop clients, each on one keep-alive connection."""
    seen = Measured()
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        at = number
        while time.perf_counter() < end:
            body = bodies[at % len(bodies)]
            at += CONNECTIONS
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            started = time.perf_counter()
            writer.write(head.encode() + b"\r\n\r\n" + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            lines = answer.lower().split(b"\r\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
            await reader.readexactly(length)
            seen.seconds.append(time.perf_counter() - started)
            seen.not_2xx += not lines[0].split()[1].startswith(b"2")
            if b"connection: close" in lines:  # Gunicorn's sync worker keeps no connection
                writer.close()
                await writer.wait_closed()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    seen.took = time.perf_counter() - started
    return seen


@dataclass(frozen=True)
class Arms:
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]]
    bodies: list[bytes]


def start(name: str, command: list[str], environment: dict[str, str], port: int) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdin=quiet, stdout=quiet, stderr=quiet)
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                return process
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, f"{name} ended with {process.returncode}"
            assert time.monotonic() < end, f"{name} never became ready"
            time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def the_bento(folder: Path) -> tuple[Path, list[str]]:
    """The built release that COALMINE_BENCH_BENTO names, with its texts; else one of the same cost on made-up words."""
    if given := os.environ.get("COALMINE_BENCH_BENTO"):
        return Path(given), Path(os.environ["COALMINE_BENCH_TEXTS"]).read_text(encoding="utf-8").splitlines()
    spec = importlib.util.spec_from_file_location("bento", HERE.parent / "unit" / "serving" / "bento.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bento: Path = module.build(folder / "bento")
    pipeline, texts = a_model()
    joblib.dump(pipeline, bento / "src" / "model" / "pipeline.joblib")
    return bento, texts


@pytest.fixture
def arms(tmp_path: Path) -> Iterator[Arms]:
    bento, texts = the_bento(tmp_path)
    model = bento / "src" / "model" / "pipeline.joblib"
    token.make_key(tmp_path / "feedback.key")
    ports = {"coalmine": free_port(), "sync": free_port(), "gthread": free_port()}
    plain = [sys.executable, "-m", "gunicorn", "--workers", "1", "--chdir", str(HERE), "plain_recipe:app"]
    ours = [sys.executable, "-m", "coalmine.release.serve", "--drain-seconds", "0"]
    commands = {
        "coalmine": [*ours, "--port", str(ports["coalmine"]), "--bento", str(bento)],
        "sync": [*plain, "--bind", f"127.0.0.1:{ports['sync']}"],
        "gthread": [*plain, "--bind", f"127.0.0.1:{ports['gthread']}", "--threads", str(CONNECTIONS)],
    }
    environment = {
        "COALMINE_PLAIN_MODEL": str(model),
        "COALMINE_FEEDBACK_KEY": str(tmp_path / "feedback.key"),
        "COALMINE_PREDICTIONS": str(tmp_path / "predictions"),
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            processes[name] = start(name, command, environment, ports[name])
        yield Arms(ports, processes, [json.dumps({"text": text}).encode() for text in texts])
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(20)


def proportional_mebibytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


@pytest.mark.bench
def test_example_service_against_the_plain_recipe(arms: Arms, capsys: pytest.CaptureFixture[str]) -> None:
    total = {name: Measured() for name in arms.ports}
    for turn in range(TURNS + 1):
        for name, port in arms.ports.items():
            seen = asyncio.run(load(port, arms.bodies, SECONDS if turn else 0.5))
            if turn:  # the first, short turn warms up
                total[name].took += seen.took
                total[name].seconds += seen.seconds
                total[name].not_2xx += seen.not_2xx
    figures = {name: seen.figures() for name, seen in total.items()}
    ours = figures["coalmine"]
    ratios = {
        f"against_{name}": {
            "requests_per_second": round(ours["requests_per_second"] / figures[name]["requests_per_second"], 2),
            "p99": round(ours["p99_ms"] / figures[name]["p99_ms"], 2),
        }
        for name in ("sync", "gthread")
    }
    memory = round(proportional_mebibytes(arms.processes["coalmine"].pid), 1)
    line = {"bench": "serving", "connections": CONNECTIONS, **figures, **ratios, "coalmine_pss_mib": memory}
    with capsys.disabled():
        sys.stdout.write(f"\n{json.dumps(line)}\n")
    assert {name: seen.not_2xx for name, seen in total.items()} == dict.fromkeys(total, 0)
