"""Speaking to a judge from the command line. A secret comes from a file or the environment, never from an argument:
arguments are in everybody's process list.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from coalmine.errors import BadInput, Broken, Refused, Temporary

ENVIRONMENT = "COALMINE_JUDGE_TOKEN"
_SECONDS = 15.0


def secret(file: Path | None, *, own: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    """From `file`, the environment, or the file that `coalmine up` keeps for its owner (`own`). Raises BadInput."""
    environ = os.environ if environ is None else environ
    if file is None and environ.get(ENVIRONMENT):
        return environ[ENVIRONMENT].strip()
    path = file or (own if own is not None and own.exists() else None)
    if path is None:
        raise BadInput("no token", where=ENVIRONMENT, remedy=f"set {ENVIRONMENT}, or name a file with --token-file")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(error), where=str(path), remedy="name a file that holds a token alone") from error


def override(url: str, number: int, action: str, *, why: str, who: str, token: str) -> dict[str, Any]:
    """What the judge wrote down.

    Raises:
        BadInput: the judge finds the request wrong, or knows no such analysis.
        Refused: the token may not, or it cannot be said now.
        Temporary: the judge does not answer, or another replica decides.
    """
    address = f"{url.rstrip('/')}/api/v1/analyses/{number}/override"
    try:
        reply = httpx.post(
            address,
            json={"action": action, "why": why, "who": who},
            headers={"Authorization": f"Bearer {token}"},
            timeout=_SECONDS,
        )
    except httpx.InvalidURL as error:
        raise BadInput(str(error), where="--judge", remedy="for example http://127.0.0.1:8460") from error
    except (httpx.HTTPError, ValueError) as error:
        what = f"the judge does not answer: {type(error).__name__}"  # its text may hold the header
        raise Temporary(what, where=url, remedy="start it, or name another with --judge") from error
    return _read(reply, address)


def _read(reply: httpx.Response, address: str) -> dict[str, Any]:
    try:
        body = reply.json()
    except ValueError:
        body = {}
    if reply.status_code == 200 and isinstance(body, dict):
        return body
    told = body.get("detail") if isinstance(body, dict) else None
    what = told if isinstance(told, str) else f"it answered {reply.status_code}"
    kinds: dict[int, type[BadInput | Temporary]] = {
        401: Refused, 403: Refused, 404: BadInput, 409: Refused, 422: BadInput, 503: Temporary,
    }  # fmt: skip
    raise kinds.get(reply.status_code, Broken)(what, where=address)
