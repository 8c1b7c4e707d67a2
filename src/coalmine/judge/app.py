"""The judge over HTTP: Flagger's webhooks, a REST API, a Prometheus query, and a page. No decision is made here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from fastapi import FastAPI

from coalmine.judge import problems, routes, routes_hooks, routes_push, routes_write
from coalmine.judge.desk import Desk
from coalmine.judge.report import routes as own_reports
from coalmine.judge.tokens import Tokens

_EVERY = 0.4  # seconds between passes; a hook makes one of its own first
_ABOUT = "Judges canaries while they take traffic. Times are Unix seconds, evidence is natural logarithms."
_log = structlog.get_logger("coalmine.judge")


def make_app(
    desk: Desk,
    *,
    tokens: Tokens | None = None,
    every: float = _EVERY,
    drift: Path | None = None,
    reports: Path | None = None,
) -> FastAPI:
    """The app around a desk; its life is the app's life. Without tokens nobody may push or override.

    `drift`: where `coalmine drift` leaves its page. `reports`: where the closer leaves a release's.
    """

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_passes(desk, every))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(desk.close)

    app = FastAPI(title="Coalmine judge", version="1", description=_ABOUT, lifespan=life, docs_url=None, redoc_url=None)
    known = tokens or Tokens(None)
    problems.add(app)
    app.include_router(routes_hooks.router(desk))
    app.include_router(routes.analyses(desk))
    app.include_router(routes_write.overrides(desk, known))
    app.include_router(routes_push.router(desk, known))
    app.include_router(routes_write.policies())
    app.include_router(routes.about(desk, drift=drift, reports=reports))
    own_reports.add(app, desk)
    return app


async def _passes(desk: Desk, every: float) -> None:
    while True:
        try:
            await asyncio.to_thread(desk.tick)
        except Exception as error:  # noqa: BLE001 (a source or disk that fails now may work at the next pass)
            _log.error("pass failed", error=repr(error))
        await asyncio.sleep(every)
