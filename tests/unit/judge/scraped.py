"""What a Prometheus holds, in memory: samples by series, asked by selector. With a real HTTP server around it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from coalmine.judge.sources.promapi import Series

_MATCHER = re.compile(r'([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_RANGE = re.compile(r"(?s)(?P<selector>.*)\[(?P<ms>[0-9]+)ms\]")


@dataclass
class Scraped:
    """An Api of samples. `scrape` is what a target showed at one moment."""

    kept: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def scrape(self, t: float, name: str, value: float, **labels: str) -> None:
        """`class_` is the label `class`."""
        labels = {"job": "test", "instance": "a:1", **{key.rstrip("_"): text for key, text in labels.items()}}
        key = tuple(sorted({"__name__": name, **labels}.items()))
        self.kept.setdefault(key, []).append((t, value))

    def begin(self) -> None:
        """There is no hurry here."""

    def series(self, selector: str, *, start: float, end: float) -> list[Series]:
        self.asked.append(selector)
        name, _, rest = selector.partition("{")
        matchers = [("__name__", "=", name.strip()), *_MATCHER.findall(rest)]
        found = []
        for key, samples in list(self.kept.items()):  # somebody may scrape meanwhile
            labels = dict(key)
            inside = tuple((t, v) for t, v in samples if start <= t <= end)
            if inside and all(_matches(labels.get(label, ""), how, text) for label, how, text in matchers):
                found.append(Series(labels, inside))
        return found


def _matches(value: str, how: str, wanted: str) -> bool:
    equal = re.fullmatch(wanted, value) is not None if "~" in how else value == wanted
    return equal is not how.startswith("!")


@dataclass
class Served:
    """`answer` replaces what the server says: a status and a body."""

    url: str
    scraped: Scraped
    answer: tuple[int, bytes] | None = None
    pause: threading.Event | None = None
    logins: set[str | None] = field(default_factory=set)


@contextmanager
def prometheus(scraped: Scraped) -> Iterator[Served]:
    """`/api/v1/query` with range selectors, as Prometheus answers it."""
    served = Served("", scraped)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.logins.add(self.headers["Authorization"])
            if served.pause is not None:
                served.pause.wait(10)
            status, body = served.answer or (200, json.dumps(_answer(scraped, self.path)).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        if served.pause is not None:
            served.pause.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(scraped: Scraped, path: str) -> dict[str, Any]:
    given = parse_qs(urlsplit(path).query)
    found = _RANGE.fullmatch(given["query"][0])
    assert found is not None, path
    end = float(given["time"][0])
    series = scraped.series(found["selector"], start=end - int(found["ms"]) / 1000, end=end)
    result = [{"metric": one.labels, "values": [[t, f"{v:g}"] for t, v in one.samples]} for one in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}
