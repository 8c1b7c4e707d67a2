"""POST /predict: the ASGI application that a model's service mounts, for any model.

The service gives two functions: `read` (a JSON object -> the items to predict on, BadInput where a field is wrong) and
`score` (a batch of items -> as many outputs). This adds what all models need: batches, signed prediction ids, headers,
the prediction log, clear refusals, and faults for drills.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

from coalmine.errors import BadInput, Broken
from coalmine.feedback import capture, token
from coalmine.release import faults as fault
from coalmine.release import manifest as manifests
from coalmine.release.asker import Asker, Askers
from coalmine.release.batching import Batcher, Overloaded
from coalmine.release.drill import Drill, Output
from coalmine.tracing import Tracing, recording, serving, tracing

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Read: TypeAlias = Callable[[Mapping[str, object]], list[str]]
Score: TypeAlias = Callable[[list[str]], Sequence[Output]]

PATH = "/predict"
SKETCH = "sketch"  # of an output: for the prediction log, never answered
SKETCH_ENVIRONMENT = "COALMINE_KEEP_SKETCH"
KEY_ENVIRONMENT = "COALMINE_FEEDBACK_KEY"
KEEP_INPUT_ENVIRONMENT = "COALMINE_KEEP_INPUT"
TIMEOUT_ENVIRONMENT = "COALMINE_TIMEOUT_SECONDS"
LARGEST_BODY = 65_536
_LOG = logging.getLogger("coalmine.predict")
_FOUND_NOTHING = "there is only POST /predict here"


class Reply(Exception):
    """An outcome rather than an error: ends a request early with a JSON sentence."""

    def __init__(self, status: int, what: str, *, field: str = "", headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(what)
        self.status = status
        self.body = {"error": what, "field": field} if field else {"error": what}
        self.headers = list(headers)


class Answering:
    """Mounted at import, before there is a model; answers after `start`, until `stop`."""

    def __init__(
        self, *, read: Read, many: str = "texts", batch: int = 64, queue: int = 1024, timeout: float = 10.0
    ) -> None:
        """`many`: a body with this field gets a list of answers; `batch`: most items in one call of the model;
        `queue`: most that wait; `timeout`: seconds, then 504.
        """
        self._many = many
        self._timeout = timeout
        self._read = read
        self._batch = batch
        self._queue = queue
        self._batcher: Batcher[str, Output] | None = None
        self._tracing: Tracing | None = None

    def start(
        self,
        score: Score,
        manifest: manifests.Manifest,
        *,
        environ: Mapping[str, str],
        samples: Sequence[str],
        wrong: Callable[[Output], Output],
    ) -> None:
        """Take up work: predicts on `samples` first, so that the first user pays for no lazy import.

        Raises BadInput (a fault or the key that `environ` names) and what `score` raises.
        """
        self._drill = Drill(fault.parse(environ.get(fault.ENVIRONMENT, "")), wrong=wrong)
        self._drill.at_start()
        for _ in range(3):
            score(list(samples))
        self._timeout = float(environ.get(TIMEOUT_ENVIRONMENT, self._timeout))
        self._manifest = manifest
        self._release = str(manifest.release)
        self._headers = [(b"content-type", b"application/json"), (b"x-coalmine-release", self._release.encode())]
        key = environ.get(KEY_ENVIRONMENT, "")
        self._key = token.read_key(Path(key)) if key else None
        self._askers = Askers(environ)
        folder = environ.get(capture.ENVIRONMENT, "")
        keep_input = environ.get(KEEP_INPUT_ENVIRONMENT, "1") != "0"
        self._log = capture.PredictionLog(Path(folder), manifest.release, keep_input=keep_input) if folder else None
        self._tracing = tracing("coalmine-arm", environ)
        work = score if self._tracing is None else recording(score)
        self._batcher = Batcher(work, most=self._batch, queue=self._queue, name="model")
        # What is loaded now stays until the end: 200,000 objects that full collections need not walk (80 ms each).
        gc.collect()
        gc.freeze()

    def stop(self) -> None:
        batcher, self._batcher = self._batcher, None
        if batcher is not None:
            batcher.close()
            if self._log is not None:
                self._log.close()
            if self._tracing is not None:
                self._tracing.close()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise Broken("only HTTP is mounted here")
        started = time.perf_counter()
        span = self._tracing.begin(f"POST {PATH}", _traceparent(scope)) if self._tracing is not None else None
        body: Mapping[str, object]
        try:
            body, first = await self._route(scope, receive, started=started)
            status, headers = 200, [(b"x-prediction-id", first)]
        except Reply as reply:
            status, headers, body = reply.status, reply.headers, reply.body
        except Exception:  # noqa: BLE001 (any failure of a model: the client gets a sentence, the log the cause)
            _LOG.exception("prediction failed")
            status, headers, body = 500, [], {"error": "the model failed on this input; the service's log says how"}
        if span is not None and self._tracing is not None:
            self._tracing.end(span, status=status)
        payload = json.dumps(body, separators=(",", ":")).encode()
        spent = f"{(time.perf_counter() - started) * 1000:.1f}".encode()
        length = (b"content-length", str(len(payload)).encode())
        headers = [*getattr(self, "_headers", [(b"content-type", b"application/json")]), length, *headers]
        headers.append((b"x-processing-ms", spent))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": payload})

    async def _route(
        self, scope: Mapping[str, Any], receive: Receive, *, started: float
    ) -> tuple[dict[str, object], bytes]:
        if scope["path"] != PATH:
            raise Reply(404, _FOUND_NOTHING)
        if scope["method"] != "POST":
            raise Reply(405, _FOUND_NOTHING, headers=[(b"allow", b"POST")])
        return await self._answer(await _read_body(receive), started, headers=scope.get("headers", ()))

    async def _answer(
        self, payload: bytes, started: float, *, headers: Iterable[tuple[bytes, bytes]]
    ) -> tuple[dict[str, object], bytes]:
        batcher = self._batcher
        if batcher is None:
            raise Reply(503, "not ready", headers=[(b"retry-after", b"1")])
        asker = self._askers.of(headers)
        if asker.tenant is None:
            raise Reply(403, "no tenant of this service", field=self._askers.header)
        asked = _parse(payload)
        try:
            items = self._read(asked)
        except BadInput as error:
            raise Reply(422, error.what, field=error.where) from None
        with self._drill.request():
            await self._drill.before()
            if self._drill.fails():
                raise Reply(500, "a drill: the release's fault error_rate")
            try:
                async with asyncio.timeout(self._timeout):
                    outputs = [self._drill.spoil(output) for output in await self._ask(batcher, items)]
            except TimeoutError:
                raise Reply(504, f"no answer within {self._timeout:g} seconds") from None
            except Overloaded as error:
                wait = str(error.retry_after).encode()
                raise Reply(503, error.what, headers=[(b"retry-after", wait)]) from None
        answers = [self._sign(item, output, started, asker=asker) for item, output in zip(items, outputs, strict=True)]
        first = str(answers[0]["prediction_id"]).encode()
        if self._many in asked:
            return {"predictions": answers, "release": self._release, "model_version": self._manifest.version}, first
        return answers[0], first

    async def _ask(self, batcher: Batcher[str, Output], items: list[str]) -> list[Output]:
        span = serving()
        if span is None or self._tracing is None:
            return await batcher.ask(items)
        asked = time.time_ns()
        outputs = await batcher.ask(items)
        self._tracing.batch(span, outputs[0], asked)
        return outputs

    def _sign(self, item: str, output: Output, started: float, *, asker: Asker) -> dict[str, object]:
        prediction, tenant, trace = token.mint(), asker.tenant or token.DEFAULT_TENANT, ""
        if (span := serving()) is not None:
            trace = span.trace
            span.set(prediction__id=prediction, release=self._release, model_version=self._manifest.version)
        signed = prediction
        if self._key:
            signed = token.sign(prediction, self._release, key=self._key, tenant=tenant, trace=trace)
        sketch = output.get(SKETCH)
        if sketch is not None:
            output = {name: value for name, value in output.items() if name != SKETCH}
        if self._log is not None:
            self._log.put(
                capture.Prediction(
                    id=prediction,
                    t=round(time.time(), 3),
                    release=self._release,
                    model_version=self._manifest.version,
                    features_digest=hashlib.sha256(item.encode("utf-8", "surrogatepass")).hexdigest(),
                    input=item,
                    output=dict(output),
                    latency_ms=round((time.perf_counter() - started) * 1000, 3),
                    arm=asker.arm,
                    tenant=tenant,
                    sketch=cast("Sequence[float] | None", sketch),
                )
            )
        version = self._manifest.version
        return {**output, "prediction_id": signed, "release": self._release, "model_version": version}


def _traceparent(scope: Mapping[str, Any]) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), "")


async def _read_body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Reply(400, "the client hung up")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > LARGEST_BODY:
            raise Reply(413, f"the body is longer than {LARGEST_BODY} bytes", headers=[(b"connection", b"close")])
        if not message.get("more_body", False):
            return b"".join(parts)


def _parse(payload: bytes) -> Mapping[str, object]:
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        raise Reply(400, "the body is no JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise Reply(400, 'the body is no JSON object like {"text": "..."}')
    return body
