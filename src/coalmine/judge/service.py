"""Starting the service: from options to a judge that listens."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from coalmine.errors import BadInput
from coalmine.judge import logs
from coalmine.judge.desk import Desk
from coalmine.judge.lease import SECONDS, Lease
from coalmine.judge.readers import Readers
from coalmine.judge.sources.accesslog import AccessLog
from coalmine.judge.sources.feedback import Votes
from coalmine.judge.sources.push import Push
from coalmine.judge.store import Store, database_url
from coalmine.judge.tally import Tally
from coalmine.judge.tokens import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `coalmine judge serve` is given. Without a log, a Prometheus and tokens it could never see anything."""

    database: str
    access_log: Path | None = None
    feedback: Path | None = None
    prometheus: str = ""
    policies: Path | None = None
    tokens: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8460
    replica_name: str = ""
    lease_seconds: float = SECONDS
    log_format: logs.Format = "json"
    drift: Path | None = None  # where `coalmine drift` leaves its page
    reports: Path | None = None  # where the closer leaves the reports on releases, a folder a model


def options(*, log_format: str, **given: Any) -> Options:
    """Raises BadInput where the format of the logs is unknown."""
    for known in logs.FORMATS:
        if log_format == known:
            return Options(log_format=known, **given)
    raise BadInput(f"{log_format!r} is unknown", where="--log-format", remedy=" or ".join(logs.FORMATS))


def open_desk(
    *,
    database: str,
    access_log: Path | None = None,
    feedback: Path | None = None,
    policies: Path | None = None,
    prometheus: str = "",
    lease: tuple[str, float] = ("", SECONDS),
) -> Desk:
    """`database`: a path, or a URL of PostgreSQL. `lease`: the replica's name and seconds. Raises BadInput."""
    store, tally = Store(database_url(database)), Tally()
    readers = Readers(
        log=None if access_log is None else AccessLog(access_log),
        votes=None if feedback is None else Votes(feedback),
        prometheus=prometheus,
        failed=lambda source: tally.source_failures.labels(source).inc(),
    )
    name, seconds = lease
    held = Lease(store.engine, name or platform.node() or "judge", seconds=seconds)
    desk = Desk(store, readers, lease=held, tally=tally, policies=policies)
    readers.pushes(Push(store.engine, desk.running_policy))
    desk.begin()
    return desk


def serve(given: Options) -> None:
    """Judge until SIGTERM or SIGINT. Raises BadInput where an option cannot be right."""
    import uvicorn  # noqa: PLC0415 (only who serves pays for the server's import)

    from coalmine.judge.app import make_app  # noqa: PLC0415 (as above)

    check(given)
    logs.begin(given.log_format)
    tokens = Tokens(given.tokens)
    desk = open_desk(
        database=given.database,
        access_log=given.access_log,
        feedback=given.feedback,
        policies=given.policies,
        prometheus=given.prometheus,
        lease=(given.replica_name, given.lease_seconds),
    )
    uvicorn.run(
        make_app(desk, tokens=tokens, drift=given.drift, reports=given.reports),
        host=given.host,
        port=given.port,
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=2,
    )


def check(given: Options) -> None:
    """Raises BadInput where an option is wrong, or nothing could ever be seen."""
    if given.access_log is None and not given.prometheus and given.tokens is None:
        raise BadInput(
            "a judge without a source sees nothing",
            where="judge serve",
            remedy="give --access-log, --prometheus, or --tokens so that counts can be pushed",
        )
    if given.prometheus and urlsplit(given.prometheus).scheme not in ("http", "https"):
        raise BadInput("no http(s) URL", where="--prometheus", remedy="for example http://prometheus:9090")
    if given.lease_seconds < 1:
        raise BadInput("too short a lease", where="--lease-seconds", remedy="give 1 second or more")
