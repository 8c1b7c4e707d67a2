"""POST /feedback: `python -m coalmine.feedback.api --port P --database FILE --key FILE`.

An event is on disk before its 200. Events that arrive together share one commit, so that the disk's flush is paid once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from coalmine.errors import CoalmineError
from coalmine.feedback import token
from coalmine.feedback.events import Refusal, read_event
from coalmine.feedback.store import Added, FeedbackStore
from coalmine.records import Event
from coalmine.release.batching import Batcher, Overloaded
from coalmine.tracing import Tracing, tracing

LARGEST_BODY = 8192
_LOG = logging.getLogger("coalmine.feedback")
_SAID = {
    Added.DIFFERENT: (409, "another vote on this prediction came first and counts; this one is kept as history"),
    Added.CAPPED: (429, "this user, or people on this prediction, have said the most that counts; try again later"),
}


class FeedbackApi:
    """The routes around one store."""

    def __init__(
        self,
        store: FeedbackStore,
        *,
        key: bytes,
        clock: Callable[[], float] = time.time,
        traces: Tracing | None = None,
    ) -> None:
        self._key = key
        self._traces = traces
        self._clock = clock
        self._batcher: Batcher[Event, Added] = Batcher(store.add_all, most=256, queue=4096, name="feedback-writer")
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "coalmine_feedback_requests_total", "Answers of POST /feedback", ["status"], registry=self._registry
        )
        self._seconds = Histogram(
            "coalmine_feedback_seconds", "Time from request to durable vote", registry=self._registry
        )
        self._events = Counter(
            "coalmine_feedback_events_total", "Events taken for the first time", ["kind"], registry=self._registry
        )

    async def feedback(self, request: Request) -> Response:
        started = time.perf_counter()
        try:
            response = await self._event(request)
        except Refusal as refusal:
            body = {"error": refusal.what, "field": refusal.field} if refusal.field else {"error": refusal.what}
            response = JSONResponse(body, status_code=refusal.status)
        except Overloaded as error:
            response = JSONResponse(
                {"error": error.what}, status_code=503, headers={"Retry-After": str(error.retry_after)}
            )
        except sqlite3.Error:  # a full disk, a locked file: nothing was written, and the client may come again
            _LOG.exception("votes were not written")
            response = JSONResponse(
                {"error": "the vote could not be written; try again"}, status_code=503, headers={"Retry-After": "5"}
            )
        self._answers.labels(status=str(response.status_code)).inc()
        self._seconds.observe(time.perf_counter() - started)
        return response

    async def _event(self, request: Request) -> Response:
        parts = bytearray()
        try:
            async for part in request.stream():
                parts += part
                if len(parts) > LARGEST_BODY:
                    raise Refusal(413, f"the body is longer than {LARGEST_BODY} bytes")
        except ClientDisconnect:
            raise Refusal(400, "the client hung up") from None
        began = time.time_ns()
        event = read_event(bytes(parts), key=self._key, now=self._clock())
        added = (await self._batcher.ask([event]))[0]
        if self._traces is not None:
            _trace(self._traces, bytes(parts), event, key=self._key, began=began, added=added)
        if added in _SAID:
            raise Refusal(*_SAID[added])
        if added is Added.STORED:
            self._events.labels(kind=event.kind.value).inc()
        return JSONResponse({"prediction": event.prediction, "already": added is Added.ALREADY})

    async def healthz(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    def close(self) -> None:
        self._batcher.close()
        if self._traces is not None:
            self._traces.close()


def _trace(traces: Tracing, body: bytes, event: Event, *, key: bytes, began: int, added: Added) -> None:
    """A span in the trace of the prediction that the event is on: the token names it, signed."""
    signed = token.verify(json.loads(body)["prediction_id"], key=key)
    span = traces.begin("POST /feedback", f"00-{signed.trace}-01", at=began)
    if span is not None:
        span.set(prediction__id=event.prediction, feedback__added=str(added))
        traces.child(span, "write", began, time.time_ns())
        traces.end(span, status=_SAID[added][0] if added in _SAID else 200)


def application(
    store: FeedbackStore,
    *,
    key: bytes,
    clock: Callable[[], float] = time.time,
    origins: Sequence[str] = (),
    traces: Tracing | None = None,
) -> Starlette:
    """The ASGI application; closes `store` at its end. `origins`: whose pages' scripts may read the answers."""
    api = FeedbackApi(store, key=key, clock=clock, traces=traces)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        api.close()
        store.close()

    routes = [
        Route("/feedback", api.feedback, methods=["POST"]),
        Route("/healthz", api.healthz),
        Route("/metrics", api.metrics),
    ]
    shared = [Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["POST"], allow_headers=["content-type"])]
    return Starlette(routes=routes, lifespan=lifespan, middleware=shared if origins else [])


def serve(
    *,
    port: int,
    database: Path,
    key: Path,
    host: str = "127.0.0.1",
    votes_per_hour: int = 60,
    origins: Sequence[str] = (),
) -> None:
    """Take votes until SIGTERM; those in flight are written and answered first.

    Raises BadInput where the key cannot be read.
    """
    secret = token.read_key(key)
    store = FeedbackStore(database, votes_per_hour=votes_per_hour)
    config = uvicorn.Config(
        application(store, key=secret, origins=origins, traces=tracing("coalmine-feedback", os.environ)),
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,  # above nginx's 60 s, as for the arms
        timeout_graceful_shutdown=5,
    )
    # uvicorn handles SIGTERM while it runs and raises it again afterwards; by then all is done.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    uvicorn.Server(config).run()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m coalmine.feedback.api", description="Take people's votes.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file, made where there is none")
    parser.add_argument("--key", type=Path, required=True, help="the 32 bytes that predictions are signed with")
    parser.add_argument("--votes-per-hour", type=int, default=60, help="cap for each user that gives a name")
    parser.add_argument("--origin", action="append", default=[], help="of pages that may send; may be repeated")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        serve(
            port=given.port,
            database=given.database,
            key=given.key,
            host=given.host,
            votes_per_hour=given.votes_per_hour,
            origins=given.origin,
        )
    except CoalmineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
