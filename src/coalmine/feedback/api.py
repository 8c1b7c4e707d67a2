"""POST /feedback: `python -m coalmine.feedback.api --port P --database FILE --key FILE`.

A vote is on disk before its 200. Votes that arrive together share one commit, so that the disk's flush is paid once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from coalmine.errors import BadInput, CoalmineError, Refused
from coalmine.feedback import token
from coalmine.feedback.store import Added, FeedbackStore
from coalmine.records import Vote
from coalmine.release.batching import Batcher, Overloaded

LARGEST_BODY = 8192
LONGEST_USER = 200
LONGEST_CORRECTION = 200
OLDEST_SECONDS = 30 * 86_400.0
FUTURE_SECONDS = 60.0  # two clocks of one installation differ by less
_LOG = logging.getLogger("coalmine.feedback")
_FIELDS = {"prediction_id", "thumb", "correction", "user"}
_THUMBS = {"up": True, "down": False}
_SAID = {
    Added.DIFFERENT: (409, "another vote on this prediction came first and counts; this one is kept as history"),
    Added.CAPPED: (429, "this user has given the most votes that count in one hour; try again later"),
}


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, what: str, field: str = "") -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.field = field


def read_vote(body: bytes, *, key: bytes, now: float, oldest: float = OLDEST_SECONDS) -> Vote:
    """The vote in a request's body. Raises Refusal: 400 no JSON, 403 forged, 410 too old, 422 a field is wrong."""
    try:
        row = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is no JSON in UTF-8") from None
    if not isinstance(row, dict):
        raise Refusal(422, 'not an object like {"prediction_id": "...", "thumb": "up"}')
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise Refusal(422, f"unknown; known are {', '.join(sorted(_FIELDS))}", unknown[0])
    thumb = row.get("thumb")
    if thumb is not None and (not isinstance(thumb, str) or thumb not in _THUMBS):
        raise Refusal(422, 'neither "up" nor "down"', "thumb")
    correction = _text(row, "correction", LONGEST_CORRECTION)
    if thumb is None and not correction:
        raise Refusal(422, 'give "thumb" or "correction"', "thumb")
    signed = _signed(row.get("prediction_id"), key)
    if now - signed.predicted_at > oldest:
        raise Refusal(410, f"the prediction is older than {oldest / 86_400:g} days: votes on it no longer count")
    if signed.predicted_at - now > FUTURE_SECONDS:
        raise Refusal(422, "the prediction lies in the future: the clocks of this installation differ", "prediction_id")
    return Vote(
        prediction=signed.prediction,
        release=signed.release,
        predicted_at=signed.predicted_at,
        t=now,
        good=None if thumb is None else _THUMBS[thumb],
        correction=correction,
        user=_text(row, "user", LONGEST_USER),
    )


def _text(row: dict[str, object], field: str, longest: int) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise Refusal(422, "not a printable string", field)
    if len(value) > longest:
        raise Refusal(422, f"longer than {longest} characters", field)
    return value.strip()


def _signed(value: object, key: bytes) -> token.Signed:
    if not isinstance(value, str):
        raise Refusal(422, "not a string" if value is not None else "missing", "prediction_id")
    try:
        return token.verify(value, key=key)
    except Refused as error:
        raise Refusal(403, error.what, "prediction_id") from None
    except BadInput as error:
        raise Refusal(422, error.what, "prediction_id") from None


class FeedbackApi:
    """The routes around one store."""

    def __init__(self, store: FeedbackStore, *, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock
        self._batcher: Batcher[Vote, Added] = Batcher(store.add_all, most=256, queue=4096, name="feedback-writer")
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "coalmine_feedback_requests_total", "Answers of POST /feedback", ["status"], registry=self._registry
        )
        self._seconds = Histogram(
            "coalmine_feedback_seconds", "Time from request to durable vote", registry=self._registry
        )

    async def feedback(self, request: Request) -> Response:
        started = time.perf_counter()
        try:
            response = await self._vote(request)
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

    async def _vote(self, request: Request) -> Response:
        parts = bytearray()
        try:
            async for part in request.stream():
                parts += part
                if len(parts) > LARGEST_BODY:
                    raise Refusal(413, f"the body is longer than {LARGEST_BODY} bytes")
        except ClientDisconnect:
            raise Refusal(400, "the client hung up") from None
        vote = read_vote(bytes(parts), key=self._key, now=self._clock())
        added = (await self._batcher.ask([vote]))[0]
        if added in _SAID:
            raise Refusal(*_SAID[added])
        return JSONResponse({"prediction": vote.prediction, "already": added is Added.ALREADY})

    async def healthz(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def metrics(self, _request: Request) -> Response:
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    def close(self) -> None:
        self._batcher.close()


def application(store: FeedbackStore, *, key: bytes, clock: Callable[[], float] = time.time) -> Starlette:
    """The ASGI application; closes `store` at its end."""
    api = FeedbackApi(store, key=key, clock=clock)

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
    return Starlette(routes=routes, lifespan=lifespan)


def serve(*, port: int, database: Path, key: Path, host: str = "127.0.0.1", votes_per_hour: int = 60) -> None:
    """Take votes until SIGTERM; those in flight are written and answered first.

    Raises BadInput where the key cannot be read.
    """
    secret = token.read_key(key)
    store = FeedbackStore(database, votes_per_hour=votes_per_hour)
    config = uvicorn.Config(
        application(store, key=secret),
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
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        serve(
            port=given.port,
            database=given.database,
            key=given.key,
            host=given.host,
            votes_per_hour=given.votes_per_hour,
        )
    except CoalmineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
