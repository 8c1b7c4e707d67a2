"""What the closer answers over HTTP: probes, its series, its reports. Nothing here changes anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from coalmine.cluster.options import Options
from coalmine.cluster.tally import Tally

_KINDS = {".html": "text/html; charset=utf-8", ".json": "application/json", ".png": "image/png"}


@contextmanager
def serve(options: Options, ready: Callable[[], str], tally: Tally) -> Iterator[int]:
    """Answer in the background; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/healthz":
                self._say(200, b"ok\n")
            elif path == "/readyz":
                problem = ready()
                self._say(503 if problem else 200, (problem or "ready").encode() + b"\n")
            elif path == "/metrics":
                self._say(200, tally.exposition(), CONTENT_TYPE_LATEST)
            elif found := _report(options.state, path):
                self._say(200, found.read_bytes(), _KINDS[found.suffix])
            else:
                self._say(404, b"there are /healthz, /readyz, /metrics and /reports/<namespace>/<name>/<report>\n")

        def _say(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Probes are no news."""

    server = ThreadingHTTPServer((options.host, options.port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="http", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _report(state: Path, path: str) -> Path | None:
    """`/reports/<namespace>/<name>/<file>` in the state folder, and nothing outside the reports' folders."""
    parts = path.strip("/").split("/")
    if len(parts) != 4 or parts[0] != "reports" or any(part.startswith(".") for part in parts):
        return None
    folder = state / "canaries" / parts[1] / parts[2] / "reports"
    return next((file for file in folder.glob("*/*") if file.name == parts[3] and file.suffix in _KINDS), None)
