"""What goes wrong, as HTTP: a status and a sentence, never a traceback; and no body above the limit."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from coalmine.errors import BadInput, CoalmineError, Refused
from coalmine.judge.lease import Standby
from coalmine.judge.tokens import Forbidden, Unauthorized

LIMIT = 4 << 20  # bytes of a body: a push of many series fits
_log = structlog.get_logger("coalmine.judge")


def add(app: FastAPI) -> None:
    """Hand every error of ours to its status."""
    app.add_middleware(Limited)
    app.add_exception_handler(Unauthorized, _sentence(401))
    app.add_exception_handler(Standby, _sentence(503))
    app.add_exception_handler(BadInput, _sentence(422))
    app.add_exception_handler(Refused, _sentence(409))
    app.add_exception_handler(Forbidden, _sentence(403))
    app.add_exception_handler(SQLAlchemyError, _no_database)


def _sentence(status: int) -> Callable[[Request, Exception], JSONResponse]:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None

    def answer(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": _told(error)}, status, headers)

    return answer


def _told(error: Exception) -> str:
    if not isinstance(error, CoalmineError):
        return str(error)
    return f"{error.what}; {error.remedy}" if error.remedy else error.what


def _no_database(request: Request, error: Exception) -> JSONResponse:
    _log.error("request failed", path=request.url.path, error=repr(error))
    return JSONResponse({"detail": "the judge's database does not answer"}, 503)


class Limited:
    """413 for a body above the limit, whether or not it says its length."""

    def __init__(self, app: ASGIApp, limit: int = LIMIT) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > self._limit:
            await JSONResponse({"detail": f"the body is above {self._limit} bytes"}, 413)(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            # The rest is cut off: what is left does not parse, and the handler says so.
            return {"type": "http.request", "body": b"", "more_body": False} if read > self._limit else message

        await self._app(scope, counted, send)
