"""What `policies` and `keys` ask of the API server: Canaries by name, one ConfigMap, one Secret."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from coalmine.cluster.api import Api
from coalmine.errors import CoalmineError, Missing, Temporary

_TIMEOUT = (3.05, 10.0)  # seconds to connect and to answer
# Flagger would copy the Secret and take its rotation for a new release.
UNTRACKED = {"flagger.app/config-tracking": "disabled"}


class Core:
    """Raises Temporary where the server does not answer, BadInput with the right that is missing."""

    def __init__(self) -> None:
        self._api = Api()
        try:
            from kubernetes import client  # noqa: PLC0415 - an extra: the rest of the package works without
        except ImportError as error:
            raise Missing("no Kubernetes client", remedy="pip install 'coalmine[cluster]'") from error
        self._core = client.CoreV1Api(self._api.client)

    def canaries(self) -> list[tuple[str, str]]:
        """Namespace and name of each."""
        return [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in self._api.canaries().items]

    def configmap(self, namespace: str, name: str) -> Mapping[str, str] | None:
        """Its data; None where there is none or it may not be read."""
        found = self._ask(self._core.read_namespaced_config_map, name, namespace)
        return None if found is None else (found.data or {})

    def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        """Its data; None where there is none or it may not be read."""
        found = self._ask(self._core.read_namespaced_secret, name, namespace)
        return None if found is None else {key: base64.b64decode(text) for key, text in (found.data or {}).items()}

    def make_secret(self, namespace: str, name: str, data: Mapping[str, bytes]) -> bool:
        """Whether it was made; False where there is one already."""
        coded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        metadata = {"name": name, "annotations": UNTRACKED}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": coded}
        return self._ask(self._core.create_namespaced_secret, namespace, body, none_at=(409,)) is not None

    def _ask(self, method: Any, *arguments: Any, none_at: tuple[int, ...] = (403, 404)) -> Any:
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - as above
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with the client

        try:
            return method(*arguments, _request_timeout=_TIMEOUT)
        except CoalmineError:
            raise
        except ApiException as error:
            if error.status in none_at:
                return None
            raise Temporary(f"the API server answers {error.status} {error.reason}") from error
        except (HTTPError, OSError) as error:
            raise Temporary(f"the API server does not answer: {type(error).__name__}") from error
