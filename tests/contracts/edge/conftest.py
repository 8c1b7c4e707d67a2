"""A real nginx between real upstreams and a client that speaks TLS; everything on free loopback ports."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pytest

from coalmine.edge import certificates, process
from coalmine.edge.config import EdgeConfig
from coalmine.edge.split import write_split
from coalmine.records import ReleaseId, Slot, Split

SIGNATURE = "c2lnbmF0dXJlLXNlY3JldA"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass
class Upstream:
    """A keep-alive HTTP/1.1 server in a thread. `mode`: ok, silent (closes unanswered), short (half a body), slow."""

    name: str
    status: int = 200
    mode: str = "ok"
    delay: float = 0.0
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(30)

    def _run(self, ready: threading.Event) -> None:
        async def main() -> None:
            self._stop = asyncio.Event()
            server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await self._stop.wait()
            server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

        self._loop.run_until_complete(main())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.seen.append((head[0], headers, body))
        await asyncio.sleep(self.delay)
        if self.mode == "silent":
            return False
        token = f"{uuid4()}.m1-abc1234.{SIGNATURE}"
        out = json.dumps({"by": self.name, "prediction_id": token}).encode()
        ours = f"X-Prediction-Id: {token}\r\nX-Processing-Ms: 1.3\r\nX-Coalmine-Arm: forged\r\n\r\n"
        head_out = f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\nContent-Length: {len(out)}\r\n{ours}"
        writer.write(head_out.encode() + (out[:5] if self.mode == "short" else out))
        await writer.drain()
        return self.mode != "short"

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(30)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Rig:
    config: EdgeConfig
    blue: Upstream
    green: Upstream
    feedback: Upstream
    nginx: subprocess.Popen[bytes]
    cleanup: ExitStack
    epoch: int = 0

    def split(
        self, weight: int, *, primary: str = "m1-abc1234", canary: str | None = "m2-abc1235", slot: Slot = Slot.BLUE
    ) -> None:
        self.epoch += 1
        write_split(
            self.config.split,
            Split(self.epoch, slot, ReleaseId.parse(primary), ReleaseId.parse(canary) if canary else None, weight),
        )

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.config.certificates / "ca.pem"))

    def connect(self) -> http.client.HTTPSConnection:
        made = http.client.HTTPSConnection("localhost", self.config.https_port, context=self.trust(), timeout=20)
        self.cleanup.callback(made.close)
        return made

    def ask(
        self,
        path: str = "/predict",
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        body: bytes = b"{}",
        on: http.client.HTTPSConnection | None = None,
    ) -> Answer:
        connection = on or self.connect()
        connection.request(method, path, body=body, headers=headers or {})
        got = connection.getresponse()
        answer = Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        if on is None:
            connection.close()
        return answer

    def raw(self, request: bytes, *, wait: float = 5.0) -> bytes:
        """Bytes as they are, for what no client library would send."""
        with (
            socket.create_connection(("127.0.0.1", self.config.https_port), timeout=wait) as plain,
            self.trust().wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            secure.sendall(request)
            got = b""
            try:
                while chunk := secure.recv(65536):
                    got += chunk
            except (TimeoutError, ConnectionError, ssl.SSLError):
                pass
            return got

    def lines(self, *, at_least: int = 0) -> list[dict[str, Any]]:
        """The access log. A line is written after its answer, so `at_least` waits for that many."""
        until = time.monotonic() + 30
        while (text := self.config.access_log.read_bytes()).count(b"\n") < at_least and time.monotonic() < until:
            time.sleep(0.01)
        return [json.loads(line.decode("utf-8")) for line in text.splitlines()]


class Load:
    """Clients that send POSTs one after another, each on a keep-alive connection of its own."""

    def __init__(self, rig: Rig, *, clients: int = 8, reconnect: bool = False) -> None:
        self.answers: list[Answer] = []
        self.failures: list[str] = []
        self._rig = rig
        self._reconnect = reconnect
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self) -> None:
        connection = self._rig.connect()
        while not self._stop.is_set():
            try:
                self.answers.append(self._rig.ask(on=connection))
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            if self._reconnect:
                connection.close()
        connection.close()

    def wait(self, answers: int) -> None:
        goal, until = len(self.answers) + answers, time.monotonic() + 20
        while len(self.answers) < goal and time.monotonic() < until:
            time.sleep(0.005)
        assert len(self.answers) >= goal


def _config(root: Path, blue: Upstream, green: Upstream, feedback: Upstream) -> EdgeConfig:
    return EdgeConfig(
        state=root / "edge",
        split=root / "edge",
        certificates=root / "tls",
        logs=root / "logs",
        access_log=root / "logs" / "access.jsonl",
        listen="127.0.0.1",
        https_port=free_port(),
        http_port=free_port(),
        server_names=("localhost",),
        blue=f"127.0.0.1:{blue.port}",
        green=f"127.0.0.1:{green.port}",
        feedback=f"127.0.0.1:{feedback.port}",
        prediction_paths=("/predict",),
        rate_per_second=100_000,
        burst=100_000,
        user=process.worker_user(),
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """start(**changes of EdgeConfig) -> a running edge, primary m1 on blue, canary m2 on green, weight 0."""
    with ExitStack() as stack:

        def make(**changes: Any) -> Rig:
            blue, green, feedback = (Upstream(name) for name in ("blue", "green", "feedback"))
            for upstream in (blue, green, feedback):
                stack.callback(upstream.stop)
            config = replace(_config(tmp_path, blue, green, feedback), **changes)
            certificates.ensure(config.certificates, config.server_names)
            process.prepare(config)
            process.check(config)
            nginx = subprocess.Popen(process.command(config))
            stack.callback(_end, nginx)
            _wait_for(config.https_port)
            rig = Rig(config, blue, green, feedback, nginx, stack)
            rig.split(0)
            return rig

        yield make


@pytest.fixture
def rig(start: Callable[..., Rig]) -> Rig:
    return start()


@pytest.fixture
def upstream() -> Iterator[Callable[..., Upstream]]:
    """upstream(name, **fields) -> one more of them, for example on a port that is free again."""
    with ExitStack() as stack:

        def make(name: str, **fields: Any) -> Upstream:
            made = Upstream(name, **fields)
            stack.callback(made.stop)
            return made

        yield make


@pytest.fixture
def load() -> type[Load]:
    return Load


def _end(nginx: subprocess.Popen[bytes]) -> None:
    nginx.terminate()
    nginx.wait(30)


def _wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("nginx does not listen")
