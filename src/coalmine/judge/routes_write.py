"""What changes something, for whoever holds a token; and the check of a policy, which changes nothing."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import yaml
from fastapi import APIRouter, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from coalmine.errors import BadInput
from coalmine.judge import routes
from coalmine.judge.answers import Checked, Overridden, Problem
from coalmine.judge.desk import Desk
from coalmine.judge.overrides import Action
from coalmine.judge.policy import load_policy, schema
from coalmine.judge.routes_hooks import standby
from coalmine.judge.tokens import Right, Token, Tokens

_LIMIT = 64 * 1024
_Sentence = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
_SCHEME = HTTPBearer(auto_error=False, description="a token that `coalmine judge token` made")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_SCHEME)]
DENIED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No token, or one that is not known."},
    403: {"model": Problem, "description": "The token may not do this, or nobody may."},
    503: {"model": Problem, "description": "Another replica decides, or the database does not answer."},
}
_YAML = {"required": True, "content": {"application/yaml": {"schema": {"type": "string"}}}}


class Wish(BaseModel):
    """A manual override. `who` names the person where several share a token."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    action: Action
    why: _Sentence
    who: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""


def allowed(tokens: Tokens, right: Right, bearer: Bearer, *, desk: Desk) -> Token:
    """The caller's token, before anything is looked at. Raises what the app answers 401, 403 or 503 to."""
    token = tokens.check(None if bearer is None else bearer.credentials, right)
    if not desk.leads:
        raise HTTPException(503, standby(desk))
    return token


def overrides(desk: Desk, tokens: Tokens) -> APIRouter:
    router = APIRouter(tags=["analyses"])
    conflict: dict[int | str, dict[str, Any]] = {409: {"model": Problem, "description": "It cannot be said now."}}

    @router.post(
        "/api/v1/analyses/{number}/override", response_model=Overridden, responses=routes.MISSING | DENIED | conflict
    )
    def override(number: routes.Number, wish: Wish, authorization: Bearer = None) -> Any:
        """Approve, hold, roll back, or clear what was said before; kept for ever with who and why."""
        token = allowed(tokens, "override", authorization, desk=desk)
        live = routes.find(desk, number)
        token.require("override", live.row.namespace)
        who = f"{wish.who} ({token.name})" if wish.who else token.name
        return desk.override(number, wish.action, who=who, why=wish.why)

    return router


def policies() -> APIRouter:
    router = APIRouter(prefix="/api/v1/policy", tags=["policy"])

    @router.get("/schema")
    def policy_schema() -> dict[str, Any]:
        """The policy's JSON Schema, for editors."""
        return schema()

    @router.post(
        "/check",
        response_model=Checked,
        responses={
            413: {"model": Problem, "description": "The policy is too long."},
            422: {"model": Problem, "description": "What is wrong with it, and in which line."},
        },
        openapi_extra={"requestBody": _YAML},
    )
    async def check(request: Request) -> Any:
        """Whether a policy reads well. The body is YAML; `extends` is not followed here."""
        body = await request.body()
        if len(body) > _LIMIT:
            raise HTTPException(413, f"a policy has at most {_LIMIT} bytes")
        return Checked(policy=await asyncio.to_thread(_checked, body))

    return router


def _checked(body: bytes) -> dict[str, Any]:
    """A YAML of a stranger: aliases could make a small text a huge one, so there are none."""
    try:
        text = body.decode("utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise HTTPException(422, "policy: aliases (*name) are not read here; write the part out")
        return load_policy(text).model_dump(mode="json")
    except BadInput as error:
        raise HTTPException(422, str(error)) from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise HTTPException(422, f"policy: no YAML of a policy: {type(error).__name__}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise HTTPException(422, f"policy{line}: {getattr(error, 'problem', None) or 'no YAML'}") from error
