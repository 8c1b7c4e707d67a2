"""Serve a built Bento in one process: `python -m coalmine.release.serve --port P --bento PATH`.

`bentoml serve` imports everything twice (the command, then its worker) and takes 10 s; this starts the same ASGI
application directly. With `--spare` the process imports all that a start would and then waits on standard input for one
JSON line `{"bento": path, "port": n, "faults": "..."}`: the warm spare. A spare whose input closes before that exits 0;
once it serves it no longer reads its input and goes on without its parent.

SIGTERM: /readyz turns 503 and answers ask their clients to reconnect elsewhere (`Connection: close`); after the drain
time the listener closes, requests in flight are finished, and the process exits 0. A second SIGTERM skips the drain.

Exit: 0 after SIGTERM, 2 or 3 where the Bento cannot be served here (the message says why), 70 a crash.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalmine.errors import BadInput, CoalmineError
from coalmine.release import faults, manifest

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn

# Above nginx's keepalive_timeout of 60 s: the side that reuses a connection must be the one that closes it.
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048
# What a start spends its seconds on. A spare knows no model yet; a module that is not installed is left out.
PRELOAD = (
    "bentoml,_bentoml_impl.loader,_bentoml_impl.server.app,uvicorn,uvloop,httptools,joblib,sklearn.pipeline,"
    "sklearn.feature_extraction.text,sklearn.linear_model,opentelemetry.instrumentation.asgi,prometheus_client"
)
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Order:
    """What to serve, where, and how badly."""

    bento: Path
    port: int
    faults: str = ""
    host: str = "127.0.0.1"
    drain_seconds: float = 1.0
    finish_seconds: float = 15.0  # for requests in flight, after the drain


def read_order(line: str, *, host: str = "127.0.0.1", drain_seconds: float = 1.0) -> Order:
    """Read a spare's line. Raises BadInput naming the field."""
    remedy = 'send one line: {"bento": "<path>", "port": 8451, "faults": ""}'
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadInput(f"the order is no JSON: {error}", where="order", remedy=remedy) from error
    if not isinstance(row, dict) or not isinstance(row.get("bento"), str):
        raise BadInput("no path", where="order.bento", remedy=remedy)
    if not isinstance(row.get("port"), int):
        raise BadInput("no port", where="order.port", remedy=remedy)
    text = row.get("faults", "")
    faults.parse(text)
    return Order(Path(row["bento"]), row["port"], faults=text, host=host, drain_seconds=drain_seconds)


class Drain:
    """The outermost ASGI layer: once `on`, not ready, and each answer tells its client to leave."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.on = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self.on or scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_and_close(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
            await send(message)

        if scope["path"] == "/readyz":
            await send_and_close({"type": "http.response.start", "status": 503, "headers": []})
            await send_and_close({"type": "http.response.body", "body": b"draining\n"})
        else:
            await self.app(scope, receive, send_and_close)


def load(bento: Path) -> Any:
    """The Bento's ASGI application with BentoML's own context, as its worker would make it.

    Raises BadInput where `bento` is no built Bento.
    """
    if not (bento / "bento.yaml").is_file():
        raise BadInput("no built Bento: it has no bento.yaml", where=str(bento), remedy="name what `package` built")
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    from _bentoml_impl.loader import load as load_service  # noqa: PLC0415 (seconds: wrong arguments are told first)
    from _bentoml_impl.server.app import ServiceAppFactory  # noqa: PLC0415 (as above)
    from bentoml._internal.configuration.containers import BentoMLContainer  # noqa: PLC0415 (as above)
    from bentoml._internal.context import server_context  # noqa: PLC0415 (as above)
    from bentoml._internal.server.metrics.prometheus import PrometheusClient  # noqa: PLC0415 (as above)
    from bentoml._internal.utils.uri import join_paths  # noqa: PLC0415 (as above)
    from opentelemetry.util.http import ExcludeList  # noqa: PLC0415 (as above)

    # One process: without a folder for several, BentoML's default client answers /metrics with 500.
    BentoMLContainer.metrics_client.set(PrometheusClient(multiproc=False))
    service = load_service(str(bento), standalone_load=True)
    server_context.service_type = "entry_service"
    server_context.service_name = service.name
    server_context.service_routes = [join_paths(service.path_prefix, api.route) for api in service.apis.values()]
    server_context.worker_index = 1
    # Without these two the metrics' service_version is "not available".
    server_context.bento_name = service.bento.tag.name
    server_context.bento_version = service.bento.tag.version
    service.inject_config()
    if not BentoMLContainer.tracing.exporter_type.get():
        # Spans that no exporter takes cost a sixth of the requests per second.
        BentoMLContainer.tracing_excluded_urls.set(ExcludeList(["."]))
    factory = ServiceAppFactory(service, is_main=True)
    # BentoML's TimeoutMiddleware never cancels its timers: each request's futures live for the whole time-out, and
    # full collections walk them all, 180 ms at 1,000 requests/s for 60 s. `Answering` has a time-out of its own.
    factory.timeout = None
    return factory()


def serve(order: Order) -> int:
    """Serve until SIGTERM. Returns the exit code.

    Raises BadInput (no built Bento there) or Refused (pickled under other versions than are installed here).
    """
    found = manifest.read(order.bento / "src" / "model")
    manifest.check_environment(found, manifest.installed())
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")  # two arms on two cores: BLAS threads would only wait for one another
    os.environ[faults.ENVIRONMENT] = order.faults
    import uvicorn  # noqa: PLC0415 (a spare has it already; --help needs it not)

    app = Drain(load(order.bento))
    config = uvicorn.Config(
        app,
        host=order.host,
        port=order.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(order.finish_seconds)),
    )
    server = uvicorn.Server(config)
    _drain_on_sigterm(server, app, seconds=order.drain_seconds)
    # uvicorn handles SIGTERM while it runs and raises it again afterwards; by then all is done.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server.run()
    return 0 if server.started else 1


def _drain_on_sigterm(server: uvicorn.Server, app: Drain, *, seconds: float) -> None:
    """uvicorn closes its listener the moment it is told to stop; clients need a moment to hear of it."""
    stop = server.handle_exit

    def handle(_signal: int, frame: FrameType | None) -> None:
        if not server.started:
            os._exit(0)  # nobody was served yet
        if app.on:
            stop(signal.SIGTERM, frame)
            return
        app.on = True
        timer = threading.Timer(seconds, stop, args=(signal.SIGTERM, None))
        timer.daemon = True
        timer.start()

    server.handle_exit = handle  # type: ignore[method-assign, assignment]  # uvicorn installs this method as the signals' handler


def wait_for_order(preload: str, *, host: str, drain_seconds: float) -> Order | None:
    """Import everything, then the order; None where the input ended without one."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    for name in filter(None, preload.split(",")):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    sys.stdout.write(json.dumps({"spare": os.getpid()}) + "\n")
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        return None
    # Whoever wrote the order may die now: neither a closed input nor a broken pipe may matter.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return read_order(line, host=host, drain_seconds=drain_seconds)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m coalmine.release.serve", description="Serve a built Bento.")
    parser.add_argument("--port", type=int, help="listen here (a spare learns it from its order)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--bento", type=Path, help="folder of a built Bento")
    parser.add_argument("--spare", action="store_true", help="import, then wait for an order on standard input")
    parser.add_argument("--preload", default=PRELOAD, help="modules that a spare imports")
    parser.add_argument("--drain-seconds", type=float, default=1.0, help="not ready but still answering")
    given = parser.parse_args(argv)
    if not given.spare and (given.port is None or given.bento is None):
        parser.error("--port and --bento, or --spare")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    given = _arguments(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.raiseExceptions = False  # a log pipe whose reader has died must not fill the process with tracebacks
    # Until uvicorn takes over, a stop is simply the end.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: os._exit(0))
    try:
        if given.spare:
            order = wait_for_order(given.preload, host=given.host, drain_seconds=given.drain_seconds)
            return 0 if order is None else serve(order)
        text = os.environ.get(faults.ENVIRONMENT, "")
        faults.parse(text)
        return serve(Order(given.bento, given.port, faults=text, host=given.host, drain_seconds=given.drain_seconds))
    except CoalmineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
