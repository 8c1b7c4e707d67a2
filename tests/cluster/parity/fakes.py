"""The other end of the wire: a real HTTP server that answers webhooks and Prometheus queries as the script says.

Paths: `/<script>/hooks/<name>` (POST) and `/<script>/metrics/<name>/api/v1/query` (GET). One server for each side.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from cluster.parity.script import Reply, Script, World, value
from cluster.parity.trace import Call

HANG_SECONDS = 1.5  # longer than a time-out of 1 s; for a metric's 5 s see `METRIC_HANG_SECONDS`
METRIC_HANG_SECONDS = 5.5


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # all scripts call in the same second, and a lost connection reads as a no


class Answers:
    """A running server. `show` sets what a script's world says now; `calls` empties what arrived since."""

    def __init__(self) -> None:
        self._worlds: dict[str, tuple[Script, World]] = {}
        self._calls: dict[str, list[Call]] = {}
        self._lock = threading.Lock()
        self._open = 0
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def busy(self) -> bool:
        """A request is being answered, or is left hanging."""
        with self._lock:
            return self._open > 0

    def show(self, script: Script, world: World) -> None:
        with self._lock:
            self._worlds[script.name] = (script, world)

    def calls(self, script: str) -> tuple[Call, ...]:
        with self._lock:
            return tuple(self._calls.pop(script, ()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, body: bytes) -> Reply:
        """Write the call down and say what the script's world says."""
        parts = urlsplit(path)
        if parts.path == "/api/v1/query":
            return value("1")  # Flagger's own metrics server, asked once at its start
        script_name, what, name, *_ = parts.path.strip("/").split("/")
        with self._lock:
            script, world = self._worlds[script_name]
            if what == "hooks":
                call = Call(script.hooks[name], name, json.loads(body), time.time())
                reply = world.hook(name)
            else:
                query = parse_qs(parts.query)["query"][0]
                if query == "vector(1)":  # Flagger's "are you there" while Initializing; it acts on no answer
                    return value("1")
                call = Call("metric", name, query, time.time())
                reply = world.metric(name)
            self._calls.setdefault(script_name, []).append(call)
        if reply.hang:
            time.sleep(HANG_SECONDS if what == "hooks" else METRIC_HANG_SECONDS)
        return reply

    def _enter(self, by: int) -> None:
        with self._lock:
            self._open += by

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body go in two writes: the second would wait 40 ms for an ACK

            def do_POST(self) -> None:
                self._reply()

            def do_GET(self) -> None:
                self._reply()

            def _reply(self) -> None:
                answers._enter(1)
                try:
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    reply = answers.answer(self.path, body)
                    if reply.hang:
                        self.close_connection = True
                        return
                    content = reply.body.encode()
                    self.send_response(reply.status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the caller gave up
                finally:
                    answers._enter(-1)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
                pass

        return Handler
