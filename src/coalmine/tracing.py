"""Spans by OpenTelemetry, sent by OTLP/HTTP where an endpoint is set; where none is, nothing is imported or made.

A request's trace comes in its `traceparent` (W3C Trace Context); its flag says whether it is recorded, so that the edge
decides for all who come after. What a model does in a batch is told by `stage`, whoever records or not.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from coalmine.errors import BadInput, Missing

ENDPOINT_ENVIRONMENT = "COALMINE_OTLP_ENDPOINT"
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_SAMPLED = 1
Item = TypeVar("Item")


@dataclass(slots=True)
class Stages:
    """What one batch did, when: (name, from, until) in Unix nanoseconds."""

    done: list[tuple[str, int, int]] = field(default_factory=list)


_now = threading.local()


@contextlib.contextmanager
def stage(name: str) -> Iterator[None]:
    """The part of a model's work that goes on inside; costs nothing to speak of where nobody records."""
    stages: Stages | None = getattr(_now, "stages", None)
    if stages is None:
        yield
        return
    began = time.time_ns()
    try:
        yield
    finally:
        stages.done.append((name, began, time.time_ns()))


class Staged(dict[str, object]):
    """An output that knows what its batch did."""

    stages: Stages


def recording(work: Callable[[list[Item]], Sequence[Mapping[str, object]]]) -> Callable[[list[Item]], list[Staged]]:
    """`work`, with its stages on each of its outputs."""

    def recorded(items: list[Item]) -> list[Staged]:
        _now.stages = stages = Stages()
        try:
            outputs = [Staged(output) for output in work(items)]
        finally:
            _now.stages = None
        for output in outputs:
            output.stages = stages
        return outputs

    return recorded


@dataclass(frozen=True, slots=True)
class Span:
    """One span that is being made; ended by `Tracing.end`."""

    inner: Any
    traceparent: str

    @property
    def trace(self) -> str:
        """Trace and span as they stand in a traceparent, without version and flags: 49 characters."""
        return self.traceparent[3:52]

    def set(self, **attributes: str | float) -> None:
        for name, value in attributes.items():
            self.inner.set_attribute(name.replace("__", "."), value)


_serving: contextvars.ContextVar[Span | None] = contextvars.ContextVar("coalmine_span", default=None)


def serving() -> Span | None:
    """The span of the request that is being answered; None where it is not recorded."""
    return _serving.get()


def valid(traceparent: str) -> bool:
    return _PARENT.match(traceparent) is not None


class Tracing:
    """A process's way to an OTLP receiver. Spans are sent by a thread of its own, and dropped where it is behind."""

    def __init__(self, service: str, endpoint: str) -> None:
        """Raises BadInput for an endpoint that is no URL, Missing without the packages."""
        if not endpoint.startswith(("http://", "https://")):
            raise BadInput(f"{endpoint!r} is no URL", where="otlp_endpoint", remedy="http://127.0.0.1:4318/v1/traces")
        try:
            from opentelemetry import trace  # noqa: PLC0415 (only where an endpoint is set)
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider, sampling  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        except ImportError as error:
            raise Missing(f"tracing needs {error.name}", remedy="pip install 'coalmine[tracing]'") from error
        self._api = trace
        resource = Resource({"service.name": service, "process.pid": os.getpid()})
        # Who asks first decides: a request without a traceparent is nobody's, and not recorded.
        self._provider = TracerProvider(
            resource=resource, sampler=sampling.ParentBased(sampling.ALWAYS_OFF), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=5)))
        self._tracer = self._provider.get_tracer("coalmine")

    def begin(self, name: str, traceparent: str, *, at: int | None = None) -> Span | None:
        """A server's span in the trace that `traceparent` names; None where that is not recorded."""
        if not valid(traceparent) or not int(traceparent[53:55], 16) & _SAMPLED:
            return None
        api = self._api
        parent = api.SpanContext(
            int(traceparent[3:35], 16),
            int(traceparent[36:52], 16),
            is_remote=True,
            trace_flags=api.TraceFlags(_SAMPLED),
        )
        context = api.set_span_in_context(api.NonRecordingSpan(parent))
        inner = self._tracer.start_span(name, context, kind=api.SpanKind.SERVER, start_time=at)
        own = inner.get_span_context()
        span = Span(inner, f"00-{own.trace_id:032x}-{own.span_id:016x}-01")
        _serving.set(span)  # each request is a task of its own, with a context of its own
        return span

    def batch(self, parent: Span, output: Mapping[str, object], asked: int) -> None:
        """What went on from the moment `asked`: the wait for a batch, and the stages of that batch."""
        stages = output.stages.done if isinstance(output, Staged) else []
        if stages:
            self.child(parent, "wait", asked, stages[0][1])
        for name, began, ended in stages:
            self.child(parent, name, began, ended)

    def child(self, parent: Span, name: str, began: int, ended: int) -> None:
        """A span inside of `parent` that has been already."""
        context = self._api.set_span_in_context(parent.inner)
        self._tracer.start_span(name, context, start_time=began).end(ended)

    def end(self, span: Span, *, status: int) -> None:
        """Ends a server's span with its HTTP status; 5xx is an error."""
        span.set(http__response__status_code=status)
        if status >= 500:
            span.inner.set_status(self._api.StatusCode.ERROR)
        span.inner.end()

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def tracing(service: str, environ: Mapping[str, str]) -> Tracing | None:
    """None, and nothing imported, where no endpoint is set."""
    endpoint = environ.get(ENDPOINT_ENVIRONMENT, "")
    return Tracing(service, endpoint) if endpoint else None
