"""What the edge costs: nginx (TLS, split, log) against its backend asked directly, in one run.

    pytest -s -m bench tests/bench/bench_edge.py

COALMINE_BENCH_URL=http://127.0.0.1:3000/predict measures in front of that service (COALMINE_BENCH_BODY is what is
posted) instead of the small ASGI one that is started here. Load is made by wrk, in turns (direct, edge, direct,
edge ...), so that a busy machine slows both. The costs of single parts are the CPU time of nginx's worker for each
request, which a busy machine changes less than it changes rates.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pytest

from coalmine.edge import certificates, process
from coalmine.edge.config import EdgeConfig, Fixed
from coalmine.edge.split import write_split
from coalmine.records import ReleaseId, Slot, Split

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

SECONDS = 4
TURNS = 3
CONNECTIONS = 16
WRK = re.compile(
    r"99%\s+(?P<p99>[0-9.]+)(?P<unit>us|ms|s).*?(?P<requests>\d+) requests in.*?Requests/sec:\s+(?P<rate>[0-9.]+)",
    re.DOTALL,
)
APP = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [
        (b"content-type", b"application/json"), (b"content-length", b"16"),
        (b"x-prediction-id", b"0190a0b0-0000-7000-8000-000000000000.m1-abc1234.c2ln")]})
    await send({"type": "http.response.body", "body": b'{"label": "pos"}'})
"""


@dataclass(frozen=True)
class Result:
    rate: float  # requests a second
    p99: float  # milliseconds
    requests: int
    bad: int  # neither 2xx nor answered


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


@contextmanager
def running(command: list[str], *, port: int) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield child
    finally:
        child.terminate()
        child.wait(15)


def wrk(url: str, folder: Path, *, seconds: int = SECONDS, pause_ms: float = 0.0) -> Result:
    """POST for `seconds`; `pause_ms` is the mean wait before each request of a connection."""
    body = os.environ.get("COALMINE_BENCH_BODY", '{"text": "not bad at all"}')
    script = folder / f"post-{pause_ms:.3f}.lua"
    pause = f"function delay() return math.random(0, {round(2 * pause_ms)}) end\n" if pause_ms else ""
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = {json.dumps(body)}\nwrk.headers["Content-Type"] = "application/json"\n{pause}'
    )
    program = shutil.which("wrk")
    if program is None:
        pytest.skip("needs wrk: sudo apt-get install -y wrk")
    line = [program, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    out = subprocess.run(line, capture_output=True, text=True, check=True, timeout=seconds + 20).stdout
    found = WRK.search(out)
    assert found is not None, out
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    bad = (int(refused[1]) if refused else 0) + (sum(map(int, errors.groups())) if errors else 0)
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[found["unit"]]
    return Result(float(found["rate"]), float(found["p99"]) * scale, int(found["requests"]), bad)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[str]:
    """The URL of the service behind the edge."""
    if given := os.environ.get("COALMINE_BENCH_URL"):
        yield given
        return
    (tmp_path / "small.py").write_text(APP)
    port = free_port()
    options = ["--app-dir", str(tmp_path), "--port", str(port), "--no-access-log", "--log-level", "error"]
    with running([sys.executable, "-m", "uvicorn", "small:app", "--timeout-keep-alive", "90", *options], port=port):
        yield f"http://127.0.0.1:{port}/predict"


def edge_config(folder: Path, url: str) -> EdgeConfig:
    parts = urlsplit(url)
    return EdgeConfig(
        state=folder / "edge",
        split=folder / "edge",
        certificates=folder / "tls",
        logs=folder / "logs",
        access_log=folder / "logs" / "access.jsonl",
        listen="127.0.0.1",
        https_port=free_port(),
        http_port=free_port(),
        server_names=("localhost",),
        blue=parts.netloc,
        green=parts.netloc,
        feedback=parts.netloc,
        prediction_paths=(parts.path,),
        rate_per_second=1_000_000,
        burst=1_000_000,
        user=process.worker_user(),
    )


@contextmanager
def edge(config: EdgeConfig) -> Iterator[int]:
    """A running edge at 25 %; yields its worker's pid."""
    certificates.ensure(config.certificates, config.server_names)
    process.prepare(config)
    if config.fixed is None:
        write_split(config.split, Split(1, Slot.BLUE, ReleaseId(1, "abc1234"), ReleaseId(2, "abc1235"), 25))
    with running(process.command(config), port=config.https_port) as nginx:
        children = Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text(encoding="ascii")
        yield int(children.split()[0])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(**figures: object) -> None:
    sys.stdout.write(f"\nbench_edge {json.dumps(figures)}\n")


@contextmanager
def busy(share: float) -> Iterator[None]:
    """A process beside that does nothing but use this share of a core."""
    program = (
        "import sys, time\n"
        "share = float(sys.argv[1])\n"
        "while True:\n"
        "    t = time.perf_counter()\n"
        "    while time.perf_counter() - t < 0.002 * share: pass\n"
        "    time.sleep(0.002 * (1 - share))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(share)])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def test_throughput_and_latency_against_the_backend_alone(backend: str, tmp_path: Path) -> None:
    """The control says how much of the loss is the machine's: the backend alone beside as much idle work."""
    config = edge_config(tmp_path, backend)
    through = f"{config.url}{urlsplit(backend).path}"
    with edge(config) as pid:
        wrk(backend, tmp_path)  # warms up both ends
        before, began = cpu_seconds(pid), time.perf_counter()
        full = [(wrk(backend, tmp_path), wrk(through, tmp_path)) for _ in range(TURNS)]
        share = 2 * (cpu_seconds(pid) - before) / (time.perf_counter() - began)  # it worked half of that time
        with busy(share):
            control = [wrk(backend, tmp_path) for _ in range(TURNS)]
        pause = 2000 * CONNECTIONS / median(direct.rate for direct, _ in full)
        half = [(wrk(backend, tmp_path, pause_ms=pause), wrk(through, tmp_path, pause_ms=pause)) for _ in range(TURNS)]
    assert sum(result.bad for pair in full + half for result in pair) == 0
    assert sum(result.bad for result in control) == 0
    report(
        backend="given" if "COALMINE_BENCH_URL" in os.environ else "small ASGI",
        direct_rps=round(median(direct.rate for direct, _ in full)),
        edge_rps=round(median(edged.rate for _, edged in full)),
        throughput_ratio=round(median(edged.rate / direct.rate for direct, edged in full), 3),
        nginx_cpu_share=round(share, 3),
        control_ratio=round(median(r.rate for r in control) / median(direct.rate for direct, _ in full), 3),
        half_load_rps=[round(median(pair[side].rate for pair in half)) for side in (0, 1)],
        half_load_p99_ms=[round(median(pair[side].p99 for pair in half), 2) for side in (0, 1)],
        half_load_p99_added_ms=round(median(edged.p99 - direct.p99 for direct, edged in half), 2),
    )


def test_what_each_part_costs(tmp_path: Path) -> None:
    """The backend is another nginx that answers at once, so that the edge's worker is the one at work."""
    port = free_port()
    conf = tmp_path / "fast.conf"
    conf.write_text(
        f"daemon off; worker_processes 1; pid {tmp_path}/fast.pid; error_log {tmp_path}/fast.log;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/fast; keepalive_requests 1000000;\n"
        f"server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{{}}'; }} }} }}\n"
    )
    fast = [process.find_nginx(), "-p", str(tmp_path), "-e", str(tmp_path / "fast.log"), "-c", str(conf)]
    micros: dict[str, list[float]] = {}
    with ExitStack() as stack:
        stack.enter_context(running(fast, port=port))
        plain = edge_config(tmp_path / "split", f"http://127.0.0.1:{port}/predict")
        shapes = {"as_shipped": plain} | {
            name: replace(edge_config(tmp_path / name, f"http://127.0.0.1:{port}/predict"), **change)
            for name, change in (
                ("no_split", {"fixed": Fixed("primary", "m1-abc1234")}),
                ("buffered_log", {"unbuffered_log": False}),
            )
        }
        workers = {name: (config, stack.enter_context(edge(config))) for name, config in shapes.items()}
        for _ in range(TURNS):
            for name, (config, pid) in workers.items():
                before = cpu_seconds(pid)
                result = wrk(f"{config.url}/predict", tmp_path, seconds=2)
                assert result.bad == 0
                micros.setdefault(name, []).append((cpu_seconds(pid) - before) / result.requests * 1e6)
    cost = {name: round(median(values), 1) for name, values in micros.items()}
    report(
        worker_cpu_us_per_request=cost,
        split_us=round(cost["as_shipped"] - cost["no_split"], 1),
        unbuffered_log_us=round(cost["as_shipped"] - cost["buffered_log"], 1),
    )
