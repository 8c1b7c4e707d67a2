"""Webhooks as Flagger calls them (pkg/controller/webhook.go), with in-cluster names resolved through a service table.

Yes is a status of 202 or less; any other is a no with the body's text. 429 and 5xx other than 501 are tried again
`retries` times, as no answer is, and are then "unreachable": their text is lost, as it is in Flagger. The pause
between tries grows from 1 s to 30 s by doubling (hashicorp/go-retryablehttp's default).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import httpx

from coalmine.records import Phase
from coalmine.rollout.canary import Canary
from coalmine.rollout.metrics import query_metric
from coalmine.rollout.schema import Webhook
from coalmine.rollout.services import Services
from coalmine.rollout.state import Answer, Ask, Event, Said

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_EVENT_TYPES = {"note": "Normal", "warning": "Warning"}
_TEXT_LIMIT = 4000  # characters of an answer that are kept; a judge's reason is a sentence or two


def payload(canary: Canary, phase: Phase | None, checksum: str, *, metadata: Mapping[str, str]) -> dict[str, object]:
    """Flagger's CanaryWebhookPayload; `metadata` is left out where it is empty."""
    body: dict[str, object] = {
        "name": canary.name,
        "namespace": canary.namespace,
        "phase": str(phase or ""),
        "checksum": checksum,
    }
    return body | {"metadata": dict(metadata)} if metadata else body


class HookClient:
    """`run.Caller`: asks webhooks and metric providers, tells the event hooks. One connection pool for its life."""

    def __init__(
        self,
        services: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._services = Services(services)
        self._clock = clock
        self._pause = pause

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._services.close()

    def ask(self, ask: Ask, canary: Canary) -> Answer:
        """Never raises for what the other side does: an answer says it."""
        if isinstance(ask.what, Webhook):
            return self._call(ask.what, payload(canary, ask.phase, ask.checksum, metadata=ask.what.metadata))
        return query_metric(self._services, canary, ask.what)

    def tell(self, event: Event, canary: Canary, *, phase: Phase | None, checksum: str) -> bool:
        """Send a note or warning to the `event` hooks; False if one of them could not be reached."""
        extra = {
            "eventMessage": event.text,
            "eventType": _EVENT_TYPES[event.kind],
            "timestamp": str(int(self._clock() * 1000)),
        }
        said = [
            self._call(hook, payload(canary, phase, checksum, metadata={**hook.metadata, **extra})).said
            for hook in canary.hooks("event")
        ]
        return Said.UNREACHABLE not in said

    def _call(self, hook: Webhook, body: Mapping[str, object]) -> Answer:
        pause, answer = _FIRST_PAUSE, Answer(Said.UNREACHABLE)
        for attempt in range(hook.retries + 1):
            if attempt:
                self._pause(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
            answer = self._once(hook, body)
            if answer.said is not Said.UNREACHABLE:
                return answer
        return answer

    def _once(self, hook: Webhook, body: Mapping[str, object]) -> Answer:
        try:
            client = self._services.client(verify=not hook.disable_tls)
            response = client.post(
                self._services.resolve(hook.url),
                content=json.dumps(body),
                headers={"Content-Type": "application/json", "Host": httpx.URL(hook.url).netloc.decode()},
                timeout=hook.timeout_seconds,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Answer(Said.UNREACHABLE, f"{type(error).__name__}: {error}")
        status, text = response.status_code, response.text[:_TEXT_LIMIT]
        if status == 429 or (status >= 500 and status != 501):
            return Answer(Said.UNREACHABLE, f"status {status}")
        if status <= 202:
            return Answer(Said.YES, text)
        return Answer(Said.NO, text or f"status {status}")
