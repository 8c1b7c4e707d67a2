"""What anyone may read: analyses with their polls, events and evidence, the judge's own series, and its page."""

from __future__ import annotations

import asyncio
import pathlib
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response

from coalmine.judge import page, prometheus, views
from coalmine.judge.answers import Analysis, Counts, Event, Overridden, Problem, TracePoint, Vector
from coalmine.judge.desk import Desk
from coalmine.judge.live import Live

_SILENT = 10.0  # seconds without a pass after which the judge is not well
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Word = Annotated[str, Query(max_length=253, pattern=r"^[A-Za-z0-9._-]*$")]
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such analysis."}}
_FORM = {
    "application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": {"query": {"type": "string"}}}}
}


def find(desk: Desk, number: int) -> Live:
    live = desk.find(number)
    if live is None:
        raise HTTPException(404, f"there is no analysis {number}")
    return live


def analyses(desk: Desk) -> APIRouter:
    """Everything under /api/v1/analyses that only reads; a standby answers it too."""
    router = APIRouter(prefix="/api/v1/analyses", tags=["analyses"])

    @router.get("", response_model=list[Analysis])
    def newest(namespace: Word = "", name: Word = "", limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Any:
        rows = desk.store.analyses(namespace=namespace, name=name, limit=limit)
        now = desk.clock()
        return [views.analysis(live, now) for row in rows if (live := desk.find(row.id)) is not None]

    @router.get("/{number}", response_model=Analysis, responses=MISSING)
    def one(number: Number) -> Any:
        return views.analysis(find(desk, number), desk.clock())

    @router.get("/{number}/trace", response_model=list[TracePoint], responses=MISSING)
    def trace(number: Number) -> Any:
        return views.trace(find(desk, number))

    @router.get("/{number}/polls", response_model=list[Counts], responses=MISSING)
    def polls(number: Number) -> Any:
        find(desk, number)
        return [asdict(poll) for poll in desk.store.polls(number)]

    @router.get("/{number}/events", response_model=list[Event], responses=MISSING)
    def events(number: Number) -> Any:
        find(desk, number)
        return desk.store.events(number)

    @router.get("/{number}/overrides", response_model=list[Overridden], responses=MISSING)
    def overrides(number: Number) -> Any:
        """Oldest first; the newest is in force unless it is `clear`."""
        find(desk, number)
        return [asdict(said) for said in desk.store.overrides(number)]

    return router


def about(desk: Desk, *, drift: pathlib.Path | None = None, reports: pathlib.Path | None = None) -> APIRouter:
    """The judge itself: its health, its series, its page."""
    router = APIRouter(tags=["judge"])

    @router.get("/healthz", response_class=PlainTextResponse, responses={503: {"description": "It does not work."}})
    def healthz() -> Response:
        age = desk.clock() - desk.tally.last_pass
        return PlainTextResponse("ok\n") if age < _SILENT else PlainTextResponse(f"no pass for {age:.0f} s\n", 503)

    @router.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "Another decides."}})
    def readyz() -> Response:
        return PlainTextResponse("ready\n") if desk.leads else PlainTextResponse("standby\n", 503)

    @router.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        return Response(prometheus.exposition(desk), media_type=prometheus.CONTENT_TYPE)

    @router.get("/api/v1/query", response_model=Vector, responses={400: {"description": "Not understood."}})
    def query(query: str = "") -> Response:
        status, body = prometheus.query(desk, query)
        return JSONResponse(body, status)

    @router.post(
        "/api/v1/query",
        response_model=Vector,
        responses={400: {"description": "Not understood."}},
        openapi_extra={"requestBody": {"content": _FORM}},
    )
    async def query_by_form(request: Request, query: str = "") -> Response:
        text = query or prometheus.form_query(await request.body())
        status, body = await asyncio.to_thread(prometheus.query, desk, text)
        return JSONResponse(body, status)

    if drift is not None:
        _drift(router, drift)
    if reports is not None:
        _releases(router, reports)

    @router.get("/", response_class=HTMLResponse)
    def index() -> Response:
        return HTMLResponse(page.render(drift=drift is not None))

    return router


def _releases(router: APIRouter, folder: pathlib.Path) -> None:
    """A release's own report, as its closer has left it: an address that is known before the report is."""

    @router.get("/releases/{release}", response_class=HTMLResponse, include_in_schema=False)
    def release_page(release: Annotated[str, Path(pattern=r"^m[1-9][0-9]*-[0-9a-f]{7,40}$")]) -> Response:
        found = sorted(folder.glob(f"*/{release}-attempt*.html"), key=lambda path: path.stat().st_mtime)
        if not found:  # it is written when the canary has ended; until then that page tells how it goes
            return RedirectResponse("/page", 307, headers={"Cache-Control": "no-store"})
        return Response(found[-1].read_bytes(), media_type="text/html", headers={"Cache-Control": "no-store"})


def _drift(router: APIRouter, folder: pathlib.Path) -> None:
    """What `coalmine drift` left in `folder` at its last look; its own files, and nothing by a client's name."""

    def left(name: str, kind: str) -> Response:
        try:
            return Response((folder / name).read_bytes(), media_type=kind, headers={"Cache-Control": "no-store"})
        except FileNotFoundError:
            return PlainTextResponse("nobody has looked yet: `coalmine drift` does\n", 404)

    @router.get("/drift", response_class=HTMLResponse, include_in_schema=False)
    def drift_page() -> Response:
        return left("index.html", "text/html")

    @router.get("/drift/metrics", response_class=PlainTextResponse, include_in_schema=False)
    def drift_metrics() -> Response:
        return left("metrics.prom", prometheus.CONTENT_TYPE)
