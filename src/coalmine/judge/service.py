"""The judge over HTTP: Flagger's webhooks, a REST API, a Prometheus query, and a page. No decision is made here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from coalmine.errors import BadInput
from coalmine.judge import hooks, page, prometheus, views
from coalmine.judge.desk import Desk
from coalmine.judge.live import Live
from coalmine.judge.policy import schema
from coalmine.judge.sources.accesslog import AccessLog
from coalmine.judge.sources.feedback import Votes
from coalmine.judge.store import Store

_EVERY = 0.4  # seconds between passes; a hook makes one of its own first
_LIMIT = 64 * 1024
_log = structlog.get_logger("coalmine.judge")


def make_app(desk: Desk, *, every: float = _EVERY) -> FastAPI:
    """The app around a desk; its life is the app's life."""

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_passes(desk, every))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        desk.store.close()

    app = FastAPI(title="Coalmine judge", version="1", lifespan=life, docs_url=None, redoc_url=None)
    _add_hooks(app, desk)
    _add_api(app, desk)
    _add_rest(app, desk)
    return app


async def _passes(desk: Desk, every: float) -> None:
    while True:
        try:
            await asyncio.to_thread(desk.tick)
        except Exception as error:  # noqa: BLE001 (a source or disk that fails now may work at the next pass)
            _log.error("pass failed", error=repr(error))
        await asyncio.sleep(every)


def _add_hooks(app: FastAPI, desk: Desk) -> None:
    def run(kind: str, payload: hooks.Payload) -> hooks.Answer:
        try:
            desk.tick()
            return hooks.answer(desk, kind, payload)
        except BadInput as error:
            return 409, str(error)
        except SQLAlchemyError as error:
            _log.error("hook failed", hook=kind, error=repr(error))
            return 503, "the judge's database does not answer: nothing was decided"

    @app.post("/hooks/{kind}", response_class=PlainTextResponse)
    async def hook(kind: str, request: Request) -> Response:
        if kind not in hooks.KINDS:
            return PlainTextResponse(f"no such hook; there are {', '.join(hooks.KINDS)}\n", 404)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LIMIT:
                return PlainTextResponse(f"the body is above {_LIMIT} bytes\n", 400)
        try:
            payload = hooks.Payload.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "body"
            return PlainTextResponse(f"{where}: {first['msg']}\n", 400)
        status, text = await asyncio.to_thread(run, kind, payload)
        await asyncio.to_thread(desk.note, kind, payload.namespace, payload.name, answer=status, text=text)
        return PlainTextResponse(text + "\n", status)


def _add_api(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/analyses")
    def analyses(namespace: str = "", name: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Any:
        rows = desk.store.analyses(namespace=namespace, name=name, limit=limit)
        now = desk.clock()
        return [views.analysis(live, now) for row in rows if (live := desk.find(row.id)) is not None]

    @app.get("/api/analyses/{number}")
    def analysis(number: int) -> Any:
        return views.analysis(_find(desk, number), desk.clock())

    @app.get("/api/analyses/{number}/trace")
    def trace(number: int) -> Any:
        return views.trace(_find(desk, number))

    @app.get("/api/analyses/{number}/polls")
    def polls(number: int) -> Any:
        _find(desk, number)
        return [asdict(poll) for poll in desk.store.polls(number)]

    @app.get("/api/analyses/{number}/events")
    def events(number: int) -> Any:
        _find(desk, number)
        return desk.store.events(number)

    @app.get("/api/policy/schema")
    def policy_schema() -> Any:
        return schema()


def _find(desk: Desk, number: int) -> Live:
    live = desk.find(number) if number < 1 << 62 else None
    if live is None:
        raise HTTPException(404, f"there is no analysis {number}")
    return live


def _add_rest(app: FastAPI, desk: Desk) -> None:
    @app.get("/healthz", response_class=PlainTextResponse)
    def healthz() -> Response:
        age = desk.clock() - desk.tally.last_pass
        return PlainTextResponse("ok\n") if age < 10 else PlainTextResponse(f"no pass for {age:.0f} s\n", 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        return PlainTextResponse(prometheus.exposition(desk), media_type="text/plain; version=0.0.4")

    @app.api_route("/api/v1/query", methods=["GET", "POST"])
    async def query(request: Request) -> Response:
        text = request.query_params.get("query") or prometheus.form_query(await request.body())
        status, body = prometheus.query(desk, text)
        return JSONResponse(body, status)

    @app.get("/", response_class=HTMLResponse)
    def index() -> Response:
        return HTMLResponse(page.render())


def open_desk(*, database: str, access_log: Path, feedback: Path, policies: Path | None) -> Desk:
    """`database`: a path, or a URL that SQLAlchemy knows. Raises BadInput where it does not open."""
    if "://" not in database:
        try:
            Path(database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(str(error), where=database, remedy="name a folder that can be written") from error
        database = f"sqlite:///{Path(database).absolute()}"
    return Desk(Store(database), AccessLog(access_log), votes=Votes(feedback), policies=policies)


def serve(
    *, database: str, access_log: Path, feedback: Path, policies: Path | None, host: str = "127.0.0.1", port: int = 8460
) -> None:
    """Judge until SIGTERM or SIGINT."""
    import uvicorn  # noqa: PLC0415 (only who serves pays for the server's import)

    desk = open_desk(database=database, access_log=access_log, feedback=feedback, policies=policies)
    uvicorn.run(
        make_app(desk),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )
