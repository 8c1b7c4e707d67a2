"""Flagger's webhooks over HTTP. Whatever goes wrong in here moves nothing: a 5xx is asked again, a 409 holds."""

from __future__ import annotations

import asyncio

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from coalmine.errors import BadInput
from coalmine.judge import hooks
from coalmine.judge.desk import Desk
from coalmine.judge.lease import Standby

_LIMIT = 64 * 1024
_WAIT = 1.0  # seconds for a pass under way; a hook must be answered, if need be from what is known
_log = structlog.get_logger("coalmine.judge")
_BODY = {"required": True, "content": {"application/json": {"schema": hooks.Payload.model_json_schema()}}}
_ANSWERS = {
    400: "The body cannot be read.", 404: "No such hook.", 409: "No, and why.", 503: "Nothing was decided: ask again.",
}  # fmt: skip


def router(desk: Desk) -> APIRouter:
    made = APIRouter(tags=["hooks"], default_response_class=PlainTextResponse)

    @made.post(
        "/hooks/{kind}",
        response_class=PlainTextResponse,
        responses={status: {"description": told, "content": {"text/plain": {}}} for status, told in _ANSWERS.items()},
        openapi_extra={"requestBody": _BODY},
    )
    async def hook(kind: str, request: Request) -> Response:
        if kind not in hooks.KINDS:
            return PlainTextResponse(f"no such hook; there are {', '.join(hooks.KINDS)}\n", 404)
        try:
            payload = hooks.Payload.model_validate_json(await _body(request))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "body"
            return PlainTextResponse(f"{where}: {first['msg']}\n", 400)
        status, text = await asyncio.to_thread(answer, desk, kind, payload)
        desk.tally.hooks.labels(kind, str(status)).inc()
        return PlainTextResponse(text + "\n", status)

    return made


async def _body(request: Request) -> bytes:
    """At most the limit and one part more: what is longer does not parse."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LIMIT:
            return b""
    return body


def answer(desk: Desk, kind: str, payload: hooks.Payload) -> hooks.Answer:
    """Read what is new, answer, and write the answer down."""
    try:
        desk.tick(wait=_WAIT)
        if not desk.leads:
            return 503, standby(desk)
        try:
            status, text = hooks.answer(desk, kind, payload)
        except BadInput as error:
            status, text = 409, str(error)
        desk.note(kind, payload.namespace, payload.name, answer=status, text=text)
    except Standby:
        return 503, standby(desk)
    except SQLAlchemyError as error:
        _log.error("hook failed", hook=kind, error=repr(error))
        return 503, "the judge's database does not answer: nothing was decided"
    except Exception as error:  # noqa: BLE001 (a bug of ours must not become a traceback for Flagger)
        _log.exception("hook failed", hook=kind, error=repr(error))
        return 503, "the judge failed: nothing was decided"
    return status, text


def standby(desk: Desk) -> str:
    """Who decides instead. Raises nothing."""
    try:
        holder = desk.lease.holder()
    except SQLAlchemyError:
        return "standby: the judge's database does not answer"
    if holder in ("", desk.lease.name):
        return "standby: nobody decides at this moment"
    return f"standby: {holder} decides"
