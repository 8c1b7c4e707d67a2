"""`coalmine airflow`: Airflow's standalone on loopback, with a home of its own in the state folder.

Its DAGs are those of main in the runtime's repository, by GitDagBundle: each run keeps the commit that it began with.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import httpx

from coalmine.errors import BadInput, Missing, Refused, Temporary
from coalmine.local import process
from coalmine.local.controller import run_folder
from coalmine.local.parts import environment
from coalmine.settings import Settings

NAME = "airflow"
GRACE = 40.0  # seconds: its parts end one after the other
READY_SECONDS = 300.0  # the first start makes its database
_PASSED = ("COALMINE_PORT_BASE", "COALMINE_CACHE")


def home(settings: Settings) -> Path:
    return settings.state / "airflow"


def configuration(settings: Settings, *, port: int) -> dict[str, str]:
    """Airflow's settings, by its own environment variables; nothing of the user's configuration is read."""
    bundle = {
        "name": "coalmine",
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {
            "repo_url": str(settings.bare_repository),
            "tracking_ref": "main",
            "subdir": "pipelines/dags",
            "refresh_interval": 30,
        },
    }
    section = {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(home(settings) / "none"),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__PARALLELISM": "4",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": "1",
        "CORE__DAGBAG_IMPORT_TIMEOUT": "120",  # a machine that serves and trains is busy
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "LOGGING__WORKER_LOG_SERVER_PORT": str(port + 1),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(port + 2),
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {f"AIRFLOW__{key}": value for key, value in section.items()} | {"AIRFLOW_HOME": str(home(settings))}


def surroundings(settings: Settings, *, port: int) -> dict[str, str]:
    """All that Airflow and its tasks see of an environment: a token or a password in ours is none of theirs."""
    own = {name: os.environ[name] for name in _PASSED if name in os.environ}
    where = {
        "COALMINE_PROJECT": str(settings.project),
        "COALMINE_STATE": str(settings.state),
        "COALMINE_PROGRAM": shlex.join([sys.executable, "-m", "coalmine.cli"]),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
    }
    return environment() | own | where | configuration(settings, port=port)


def demand(settings: Settings) -> None:
    """Raises Missing where Airflow is not installed, BadInput where there is no repository to read DAGs from."""
    if importlib.util.find_spec("airflow") is None:
        raise Missing("Airflow is not installed", remedy="pip install 'coalmine[airflow]'")
    if not settings.bare_repository.is_dir():
        raise BadInput("no repository yet", where=str(settings.bare_repository), remedy="coalmine up -d")


def foreground(settings: Settings, *, port: int, tell: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM, then end all of its parts.

    Raises: Refused where one runs here already; Temporary where it ended by itself or never answered.
    """
    demand(settings)
    if process.alive(process.read(run_folder(settings), NAME)):
        raise Refused("Airflow runs here already", where=str(home(settings)), remedy="end that one first")
    home(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    log = settings.logs / "airflow.log"
    record, child = process.start(
        run_folder(settings),
        NAME,
        command=[sys.executable, "-m", "airflow", "standalone"],
        env=surroundings(settings, port=port),
        log=log,
    )
    try:
        _watch(child, lambda: stopping, port=port, tell=tell, log=log)
    finally:
        end(record)
        process.forget(run_folder(settings), NAME)


def _watch(
    child: subprocess.Popen[bytes], stopping: Callable[[], bool], *, port: int, tell: Callable[[str], None], log: Path
) -> None:
    began, ready = time.monotonic(), False
    tell(f"Airflow is starting; its log is {log}")
    while not stopping():
        if child.poll() is not None:
            raise Temporary("Airflow ended by itself", where=str(log), remedy="read the end of that log")
        if not ready and (ready := answers(port)):
            tell(f"Airflow is ready: http://127.0.0.1:{port} (user admin; the password stands in that log)")
        if not ready and time.monotonic() - began > READY_SECONDS:
            raise Temporary(
                f"Airflow was not ready after {READY_SECONDS:.0f} s", where=str(log), remedy="read that log"
            )
        time.sleep(0.5)


def answers(port: int) -> bool:
    """Whether the API server is up and can read its database."""
    try:
        found = httpx.get(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=2.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return found.status_code == 200 and found.json()["metadatabase"]["status"] == "healthy"


def end(record: process.Record) -> None:
    """SIGINT to the whole group, as Ctrl-C would: TERM to standalone alone leaves its parts behind."""
    with contextlib.suppress(ProcessLookupError):
        if process.alive(record):
            os.killpg(record.pid, signal.SIGINT)
    deadline = time.monotonic() + GRACE
    while process.session(record) and time.monotonic() < deadline:
        process.alive(record)  # reaps it
        time.sleep(0.1)
    process.stop(record, grace=0.0)
