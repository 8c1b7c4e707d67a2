"""Raw samples from a Prometheus server, within a time budget. What goes wrong is one exception: Unavailable.

A range selector (`x[45s]`) as an instant query gives each sample with the time of its own scrape. An instant vector
would bear the time of the question, and a value up to five minutes old would look fresh.
"""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import httpx

from coalmine.errors import BadInput

_LARGEST = 16 << 20  # bytes of one answer
_CHUNK = 600.0  # seconds of the past that are fetched at once


class Unavailable(Exception):
    """No usable answer: no connection, too slow, an error status, or not what the API promises."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels, and (Unix seconds, value) in order of time. NaN and infinities are left out."""

    labels: dict[str, str]
    samples: tuple[tuple[float, float], ...]


class Api(Protocol):
    """Where samples come from: a server, or what was fetched from it before."""

    def begin(self) -> None:
        """A new reading: its time budget starts."""

    def series(self, selector: str, *, start: float, end: float) -> list[Series]:
        """The selected series with their samples from `start` to `end`. Raises Unavailable."""


@lru_cache(maxsize=16)
def http_client(url: str) -> httpx.Client:
    """The client for this address, shared by all who ask there. `https://user:password@host` logs in.

    Raises:
        BadInput: it is no address.
    """
    try:
        address = httpx.URL(url.rstrip("/"))
    except httpx.InvalidURL as error:
        raise BadInput(str(error), where="--prometheus", remedy="give the address of Prometheus") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise BadInput("no http:// or https:// address", where=shown(url), remedy="give the address of Prometheus")
    return httpx.Client(base_url=address, follow_redirects=True)


def shown(url: str) -> str:
    """The address as it may be written into a message: without its password."""
    before, at, host = url.rpartition("@")
    return f"{before.partition('://')[0]}://{host}" if at else url


class Server:
    """A running Prometheus. `budget`: seconds for all questions of one reading together."""

    def __init__(self, client: httpx.Client, *, budget: float = 3.0) -> None:
        self._client, self._budget, self._until = client, budget, 0.0

    def begin(self) -> None:
        self._until = time.monotonic() + self._budget

    def series(self, selector: str, *, start: float, end: float) -> list[Series]:
        query = f"{selector}[{max(1, math.ceil((end - start) * 1000))}ms]"
        try:
            return _parse(self._ask({"query": query, "time": f"{end:.3f}"}))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Unavailable(f"no answer of Prometheus' API: {error!r:.200}") from error

    def _ask(self, parameters: dict[str, str]) -> bytes:
        left = self._until - time.monotonic()
        if left <= 0:
            raise Unavailable(f"no answer within {self._budget:g} s")
        with self._client.stream("GET", "/api/v1/query", params=parameters, timeout=left) as answer:
            body = bytearray()
            for part in answer.iter_bytes():
                body += part
                if len(body) > _LARGEST:
                    raise Unavailable(f"an answer above {_LARGEST >> 20} MiB: select fewer series")
                if time.monotonic() > self._until:
                    raise Unavailable(f"no whole answer within {self._budget:g} s")
            if answer.status_code != httpx.codes.OK:
                raise Unavailable(f"status {answer.status_code}: {bytes(body[:200]).decode(errors='replace')}")
        return bytes(body)


def _parse(body: bytes) -> list[Series]:
    data = json.loads(body)["data"]
    if data["resultType"] != "matrix":
        raise ValueError(f"a {data['resultType']} instead of a matrix")
    return [_series(one) for one in data["result"]]


def _series(one: dict[str, Any]) -> Series:
    labels = {str(key): str(value) for key, value in one["metric"].items()}
    samples = [(float(t), float(value)) for t, value in one.get("values", ())]
    return Series(labels, tuple(sorted((t, v) for t, v in samples if math.isfinite(t) and math.isfinite(v))))


class Recorded:
    """A stretch of the past, fetched in pieces and then read as if it were now."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pieces: dict[str, tuple[float, float, list[Series]]] = {}

    def begin(self) -> None:
        """Nothing is timed: each piece has a budget of its own."""

    def series(self, selector: str, *, start: float, end: float) -> list[Series]:
        first, last, found = self._pieces.get(selector, (math.inf, -math.inf, []))
        if start < first or end > last:
            first, last = start, end + _CHUNK
            self._server.begin()
            found = self._server.series(selector, start=first, end=last)
            self._pieces[selector] = (first, last, found)
        return list(_between(found, start, end))


def _between(found: Iterable[Series], start: float, end: float) -> Iterable[Series]:
    for one in found:
        times = [t for t, _ in one.samples]
        samples = one.samples[bisect_right(times, start - 1e-9) : bisect_right(times, end)]
        if samples:
            yield Series(one.labels, samples)
