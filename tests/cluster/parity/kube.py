"""The few calls of the Kubernetes API that the parity tests make, and a watch that writes down what passed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from coalmine.errors import Broken

Object = dict[str, Any]

_GROUPS = {
    "Namespace": "/api/v1",
    "Deployment": "/apis/apps/v1",
    "Canary": "/apis/flagger.app/v1beta1",
    "MetricTemplate": "/apis/flagger.app/v1beta1",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1",
}
_INITIALIZING = 0.1  # seconds until the next try, while the API server fills a new kind's watch cache
_PLURALS = {"Canary": "canaries"}


def plural(kind: str) -> str:
    return _PLURALS.get(kind, kind.lower() + "s")


class Kube:
    """Objects by kind. Raises Broken for whatever the API server refuses."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def create(self, found: Object) -> None:
        where = path(found["kind"], found["metadata"].get("namespace", ""))
        self._done(self._client.post(where, json=found))

    def patch(self, kind: str, namespace: str, name: str, change: Mapping[str, Any], *, of: str = "") -> None:
        """A merge patch; `of="/status"` for the subresource."""
        where = f"{path(kind, namespace)}/{name}{of}"
        headers = {"Content-Type": "application/merge-patch+json"}
        self._done(self._client.patch(where, content=json.dumps(change), headers=headers))

    def list(self, kind: str) -> tuple[list[Object], str]:
        """All of a kind in all namespaces, and the version from which a watch would go on."""
        answer = self._done(self._client.get(path(kind, "")))
        return answer["items"], answer["metadata"]["resourceVersion"]

    def install(self, file: Path) -> None:
        """The custom resource definitions in a file, ready for use when this returns."""
        names = []
        for document in yaml.safe_load_all(file.read_text()):
            if document and document["kind"] == "CustomResourceDefinition":
                self.create(document)
                names.append(document["metadata"]["name"])
        deadline = time.monotonic() + 30
        for name in names:
            while not self._established(name):
                if time.monotonic() > deadline:
                    raise Broken(f"{name} is not established after 30 s", where=str(file))
                time.sleep(0.1)

    def _established(self, name: str) -> bool:
        found = self._done(self._client.get(f"{path('CustomResourceDefinition', '')}/{name}"))
        conditions = found.get("status", {}).get("conditions") or []
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    def _done(self, response: httpx.Response) -> Object:
        if response.is_error:
            raise Broken(f"{response.request.method} {response.request.url.path}: {response.text[:500]}")
        answer: Object = response.json()
        return answer


def path(kind: str, namespace: str) -> str:
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{_GROUPS[kind]}{inside}/{plural(kind)}"


@dataclass
class Watch:
    """Every version of every object of a kind, in the order in which the API server had them, with the wall clock."""

    client: httpx.Client
    kind: str
    seen: list[tuple[float, Object]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, args=(Kube(self.client).list(self.kind)[1],), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def of(self, namespace: str, *, until: int) -> list[tuple[float, Object]]:
        """Those of a namespace, up to a version of the API server's. Raises Broken if the watch did not last."""
        if self._thread is None or not self._thread.is_alive():
            raise Broken(f"the watch of {self.kind} broke off")
        return [(at, found) for at, found in list(self.seen) if _is_of(found["metadata"], namespace, until)]

    def _run(self, version: str) -> None:
        while not self._over.is_set():
            # Short watches that follow one another without a gap: a thread in a read cannot be told to stop.
            parameters = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "2"}
            try:
                with self.client.stream("GET", path(self.kind, ""), params=parameters, timeout=30) as lines:
                    if lines.status_code == httpx.codes.TOO_MANY_REQUESTS:
                        time.sleep(_INITIALIZING)
                        continue
                    lines.raise_for_status()
                    for line in lines.iter_lines():
                        found = json.loads(line)["object"]
                        version = found["metadata"]["resourceVersion"]
                        self.seen.append((time.time(), found))
            except httpx.TransportError:
                if not self._over.is_set():
                    raise


def _is_of(metadata: Object, namespace: str, until: int) -> bool:
    return bool(metadata["namespace"] == namespace and int(metadata["resourceVersion"]) <= until)
