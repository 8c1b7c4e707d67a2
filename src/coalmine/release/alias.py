"""The registry's aliases and tags over MLflow's REST interface.

Importing MLflow would cost the controller a hundred megabytes for four requests. Each operation may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests

from coalmine.errors import BadInput, Temporary
from coalmine.settings import Settings

CHAMPION = "champion"
_TIMEOUT = (3.0, 15.0)  # seconds to connect and to answer; a busy MLflow on two cores takes up to five
_ALIAS = "registered-models/alias"
_TAG_LIMIT = 4000  # characters; MLflow refuses values above 5000


@dataclass(frozen=True, slots=True)
class Registry:
    """One registered model. Raises Temporary where the server does not answer, BadInput where it says no."""

    url: str
    model: str
    elsewhere: bool = False  # a server of the user's own may need a proxy or ~/.netrc; ours on loopback must not

    def alias(self, name: str = CHAMPION) -> int | None:
        """The version that an alias names, or None."""
        answer = self._call("GET", _ALIAS, {"name": self.model, "alias": name})
        return int(answer["model_version"]["version"]) if answer else None

    def point(self, version: int, name: str = CHAMPION) -> int | None:
        """Let an alias name `version`; returns what it named before."""
        before = self.alias(name)
        if before != version:
            body = {"name": self.model, "alias": name, "version": str(version)}
            if self._call("POST", _ALIAS, body) is None:
                raise BadInput(
                    f"version {version} of {self.model} is not in the registry",
                    where=self.url,
                    remedy="it was deleted there; `coalmine train` registers a new one",
                )
        return before

    def tag(self, version: int, tags: Mapping[str, str]) -> None:
        """Write tags of a version; a version that was deleted gets none."""
        for key, value in tags.items():
            body = {"name": self.model, "version": str(version), "key": key, "value": value[:_TAG_LIMIT]}
            self._call("POST", "model-versions/set-tag", body)

    def _call(self, method: str, path: str, fields: dict[str, str]) -> dict[str, Any] | None:
        """The answer, or None where what is named does not exist."""
        given: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
        try:
            with requests.Session() as session:
                session.trust_env = self.elsewhere
                reply = session.request(method, f"{self.url}/api/2.0/mlflow/{path}", timeout=_TIMEOUT, **given)
                body = reply.json()
        except requests.RequestException as error:
            raise Temporary(f"MLflow does not answer: {error}", where=self.url, remedy="it is tried again") from error
        if reply.ok:
            return dict(body)
        code, said = body.get("error_code", ""), body.get("message", reply.reason)
        # An absent alias is INVALID_PARAMETER_VALUE ("alias ... not found") in MLflow 2 and 3, an absent model a 404.
        if code == "RESOURCE_DOES_NOT_EXIST" or (method == "GET" and "not found" in str(said).lower()):
            return None
        if reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or reply.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise Temporary(f"MLflow answers {reply.status_code}: {said}", where=self.url)
        raise BadInput(f"MLflow refuses: {said} ({reply.status_code} {code})", where=self.url, remedy="see its log")


def registry(settings: Settings) -> Registry:
    return Registry(settings.mlflow_url, settings.model, elsewhere=bool(settings.mlflow_uri))
