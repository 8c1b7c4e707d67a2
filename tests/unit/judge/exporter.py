"""A process with counters for a real Prometheus to scrape: `python exporter.py PORT`. POST adds, GET shows them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

COUNTED: Counter[str] = Counter()
EDGES = ("0.1", "0.5", "+Inf")


class Handler(BaseHTTPRequestHandler):
    """`{"canary": [good, bad, slow]}` adds requests of an arm; a slow one takes 0.3 s, any other 0.05 s."""

    def do_POST(self) -> None:
        for arm, (good, bad, slow) in json.loads(self.rfile.read(int(self.headers["Content-Length"]))).items():
            COUNTED[f'requests_total{{arm="{arm}",code="200"}}'] += good
            if bad:
                COUNTED[f'requests_total{{arm="{arm}",code="500"}}'] += bad
            for edge in EDGES:
                COUNTED[f'seconds_bucket{{arm="{arm}",le="{edge}"}}'] += good + bad - (slow if edge == "0.1" else 0)
        self._say(b"")

    def do_GET(self) -> None:
        self._say("".join(f"{name} {value}\n" for name, value in COUNTED.items()).encode())

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
