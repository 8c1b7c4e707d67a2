"""The few questions that the closer asks the API server, through the official client, as plain mappings.

Rights: get, list and watch `canaries.flagger.app`; get `deployments.apps`; list `events.events.k8s.io`; and get, create
and update one Lease. It writes nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from coalmine.errors import BadInput, CoalmineError, Missing, Temporary

_TIMEOUT = (3.05, 10.0)  # seconds to connect and to answer
_FLAGGER = {"group": "flagger.app", "version": "v1beta1", "plural": "canaries"}
_DEPLOYMENTS = {"group": "apps", "version": "v1", "plural": "deployments"}
_EVENTS = {"group": "events.k8s.io", "version": "v1", "plural": "events"}
_LEASES = {"group": "coordination.k8s.io", "version": "v1", "plural": "leases"}
Object = Mapping[str, Any]


class Gone(Temporary):
    """The version to watch from is too old: list again."""


class Conflict(Temporary):
    """Somebody else wrote the object first."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Canaries, and the version from which a watch goes on."""

    items: tuple[Object, ...]
    version: str


class Api:
    """Raises Temporary where the server does not answer, BadInput with the right or CRD that is missing."""

    def __init__(self, context: str = "") -> None:
        try:
            from kubernetes import client, config  # noqa: PLC0415 - an extra: the rest of the package works without
        except ImportError as error:
            raise Missing("no Kubernetes client", remedy="pip install 'coalmine[cluster]'") from error
        try:
            settings = client.Configuration()
            if context:
                config.load_kube_config(context=context, client_configuration=settings)
            else:
                config.load_config(client_configuration=settings)
        except config.ConfigException as error:
            remedy = "run it in a pod with a service account, or set KUBECONFIG"
            raise BadInput(f"no cluster is known: {error}", remedy=remedy) from error
        settings.retries = 0  # a retry is the caller's business: it knows what has changed meanwhile
        self.client = client.ApiClient(settings)
        self._objects = client.CustomObjectsApi(self.client)

    def canaries(self, namespace: str = "") -> Listed:
        """Of one namespace, or of all where none is named."""
        found = self._call(*self._lister(namespace), where=f"canaries of {namespace or 'all namespaces'}")
        return Listed(tuple(found["items"]), str(found["metadata"]["resourceVersion"]))

    def watch(self, namespace: str, version: str, *, seconds: int) -> Iterator[tuple[str, Object]]:
        """What happens to Canaries after `version`, for at most so many seconds. Raises Gone where it is too old."""
        from kubernetes import watch  # noqa: PLC0415 - as above

        method, given = self._lister(namespace)
        stream = watch.Watch()
        try:
            yield from _events(
                stream.stream(
                    method,
                    **given,
                    resource_version=version,
                    timeout_seconds=seconds,
                    allow_watch_bookmarks=True,
                    _request_timeout=(_TIMEOUT[0], seconds + _TIMEOUT[1]),
                )
            )
        except GeneratorExit:
            raise
        except Exception as error:
            raise _said(error, f"watch of canaries in {namespace or 'all namespaces'}") from error
        finally:
            stream.stop()

    def deployment(self, namespace: str, name: str) -> Object | None:
        """None where there is none."""
        return self._get(_DEPLOYMENTS, namespace, name)

    def events(self, namespace: str, name: str) -> list[Object]:
        """What Flagger said about a Canary of late; the server forgets events after an hour."""
        given = {**_EVENTS, "namespace": namespace, "field_selector": f"regarding.kind=Canary,regarding.name={name}"}
        found = self._call(self._objects.list_namespaced_custom_object, given, where=f"events of {namespace}/{name}")
        return list(found["items"])

    # ---- the lease ----

    def lease(self, namespace: str, name: str) -> Object | None:
        return self._get(_LEASES, namespace, name)

    def make_lease(self, namespace: str, body: Object) -> Object:
        """Raises Conflict where another was quicker."""
        given = {**_LEASES, "namespace": namespace, "body": body}
        made: Object = self._call(self._objects.create_namespaced_custom_object, given, where=f"lease in {namespace}")
        return made

    def put_lease(self, namespace: str, name: str, body: Object) -> Object:
        """Replaces it if it is still the version in `body`. Raises Conflict where it is not."""
        given = {**_LEASES, "namespace": namespace, "name": name, "body": body}
        where = f"lease {namespace}/{name}"
        made: Object = self._call(self._objects.replace_namespaced_custom_object, given, where=where)
        return made

    def _lister(self, namespace: str) -> tuple[Any, dict[str, Any]]:
        if namespace:
            return self._objects.list_namespaced_custom_object, {**_FLAGGER, "namespace": namespace}
        return self._objects.list_cluster_custom_object, dict(_FLAGGER)

    def _get(self, kind: Mapping[str, str], namespace: str, name: str) -> Object | None:
        given = {**kind, "namespace": namespace, "name": name}
        where = f"{kind['plural']} {namespace}/{name}"
        try:
            found: Object = self._call(self._objects.get_namespaced_custom_object, given, where=where)
        except NotFound:
            return None
        return found

    def _call(self, method: Any, given: Mapping[str, Any], *, where: str) -> Any:
        try:
            return method(**given, _request_timeout=_TIMEOUT)
        except Exception as error:
            raise _said(error, where) from error


class NotFound(BadInput):
    """There is no such object, or no such kind."""


def _events(stream: Any) -> Iterator[tuple[str, Object]]:
    for event in stream:
        kind, found = str(event["type"]), event["object"]
        if kind == "ERROR":
            code = found.get("code") if isinstance(found, Mapping) else None
            raise Gone("the version is too old") if code == 410 else Temporary(f"the watch broke: {found}")
        yield kind, found


def _said(error: Exception, where: str) -> Exception:
    """The client's exception in our words. What is no failure of the call stays what it is."""
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415 - as above
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with the client

    if isinstance(error, CoalmineError):
        return error
    if isinstance(error, HTTPError | OSError):
        return Temporary(f"the API server does not answer: {type(error).__name__}", where=where)
    if not isinstance(error, ApiException):
        return error
    told = f"{error.status} {error.reason}"
    kind, remedy = _KINDS.get(error.status, (Temporary, "it is tried again"))
    return kind(told, where=where, remedy=remedy)


_RIGHTS = "see the Role in docs/explanation/closing-in-a-cluster.md"
_KINDS: dict[int, tuple[type[CoalmineError], str]] = {
    401: (BadInput, _RIGHTS),
    403: (BadInput, _RIGHTS),
    404: (NotFound, "are Flagger's CRDs installed?"),
    409: (Conflict, "it is tried again"),
    410: (Gone, "it is listed again"),
}
