"""`coalmine airflow`: Airflow on loopback, with a home of its own in the state folder.

Its parts are those that `airflow standalone` starts, but kept by our supervisor: standalone cannot leave out the two
log servers, which listen on all addresses and which nothing here needs, since pages and tasks share one disk.

Its DAGs are those of main in the runtime's repository, by GitDagBundle: each run keeps the commit that it began with.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import structlog

from coalmine.errors import BadInput, Temporary
from coalmine.local import airflow_install, process
from coalmine.local.controller import run_folder
from coalmine.local.parts import environment
from coalmine.local.supervisor import Part, Supervisor
from coalmine.local.up import alone
from coalmine.settings import Settings

NAME = "airflow"
READY_SECONDS = 600.0  # some 20 in quiet
MIGRATE_SECONDS = 300.0
GRACE = 20.0  # seconds for its running tasks; a step that is cut short is done again at the next start
# The last ends first: tasks tell the API server how they ended.
PARTS = {
    "airflow-api": ("api-server",),
    "airflow-dags": ("dag-processor",),
    "airflow-triggers": ("triggerer", "--skip-serve-logs"),
    "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
}
FIRST, LATER = tuple(PARTS)[:1], tuple(PARTS)[1:]
_PASSED = ("COALMINE_PORT_BASE", airflow_install.CACHE_ENVIRONMENT)


def home(settings: Settings) -> Path:
    return settings.state / "airflow"


def password_file(settings: Settings) -> Path:
    """Who may log in, as Airflow's simple manager reads it."""
    return home(settings) / "passwords.json"


def key_file(settings: Settings) -> Path:
    """What Airflow signs its tokens with."""
    return home(settings) / "jwt.key"


def configuration(settings: Settings, *, port: int) -> dict[str, str]:
    """Airflow's settings, by its own environment variables; nothing of the user's configuration is read.

    No secret is among them: keys and password lie in files of its home.
    """
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
        "API_AUTH__JWT_SECRET_CMD": shlex.join(["cat", str(key_file(settings))]),  # its own is too short for HS512
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(settings)),
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": "1",
        "CORE__DAGBAG_IMPORT_TIMEOUT": "120",  # a machine that serves and trains is busy
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "180",
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home(settings) / "bundles"),  # else all of a machine share one
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {f"AIRFLOW__{key}": value for key, value in section.items()} | {"AIRFLOW_HOME": str(home(settings))}


def surroundings(settings: Settings, *, port: int) -> dict[str, str]:
    """All that Airflow and its tasks see of an environment: a token or a password in ours is none of theirs."""
    own = {name: os.environ[name] for name in _PASSED if name in os.environ}
    where = {
        "COALMINE_PROJECT": str(settings.project),
        "COALMINE_MODEL": settings.model,
        "COALMINE_STATE": str(settings.state),
        "COALMINE_PROGRAM": shlex.join([sys.executable, "-m", "coalmine.cli"]),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(home(settings) / "import"),
    }
    return environment() | own | where | configuration(settings, port=port)


def parts(settings: Settings, python: Path, *, port: int) -> list[Part]:
    """What is kept running, in the order of starting."""
    env = surroundings(settings, port=port)
    return [Part(name, [str(python), "-m", "airflow", *words], env) for name, words in PARTS.items()]


def foreground(settings: Settings, *, port: int, tell: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM, then end all of its parts. Parts that a killed one has left are taken over.

    Raises: Refused where one runs here already; BadInput where there is no repository to read DAGs from, or the port
    is taken; Temporary where it does not get ready; what the installation raises.
    """
    if not settings.bare_repository.is_dir():
        raise BadInput("no repository yet", where=str(settings.bare_repository), remedy="coalmine up -d")
    with alone(settings, "airflow.lock", remedy="end that one first: Ctrl-C there, or coalmine down"):
        python = airflow_install.installed(tell)
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # our answer alone goes to stdout
        record = process.Record(NAME, os.getpid(), process.born(os.getpid()))
        process.write(run_folder(settings), record)
        try:
            _prepare(settings, python, port=port)
            supervisor = Supervisor(run_folder(settings), settings.logs, parts(settings, python, port=port))
            _keep(supervisor, ended, port=port, tell=tell, password=password_file(settings))
        finally:
            stop_parts(settings)
            process.forget(run_folder(settings), NAME)


def _prepare(settings: Settings, python: Path, *, port: int) -> None:
    """Its home, its login and its database, where nothing of it runs yet."""
    home(settings).mkdir(parents=True, exist_ok=True, mode=0o700)
    airflow_install.link(home(settings))
    wanted = {part.name: part.digest for part in parts(settings, python, port=port)}
    living = [record for record in _records(settings) if process.alive(record)]
    if living and all(record.marks.get("digest") == wanted[record.name] for record in living):
        return
    stop_parts(settings)  # what a part that died has left, or another version of it runs
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadInput(f"port {port}: {error.strerror}", where="--port", remedy="choose another one") from error
    _draw(password_file(settings), lambda: json.dumps({"admin": secrets.token_urlsafe(18)}))
    _draw(key_file(settings), lambda: secrets.token_urlsafe(64))
    log = settings.logs / "airflow-database.log"
    line = [str(python), "-m", "airflow", "db", "migrate"]
    with log.open("ab") as output:
        done = subprocess.run(
            line,
            env=surroundings(settings, port=port),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
            timeout=MIGRATE_SECONDS,
        )
    if done.returncode:
        raise Temporary("Airflow's database could not be made", where=str(log), remedy="read the end of that log")


def _draw(path: Path, secret: Callable[[], str]) -> None:
    """Once, for the owner of the state folder to read, and in no log, argument or environment."""
    if not path.exists():
        scratch = path.with_name(f".{path.name}.new")
        scratch.touch(mode=0o600)
        scratch.write_text(secret(), encoding="utf-8")
        scratch.replace(path)


def _keep(
    supervisor: Supervisor, ended: threading.Event, *, port: int, tell: Callable[[str], None], password: Path
) -> None:
    began, ready = time.monotonic(), False
    tell(f"Airflow is starting; its logs are {supervisor.logs}/airflow-*.log")
    while not ended.is_set():
        # A task that nobody hears of at its begin has failed: so first whom it tells.
        supervisor.reconcile(hold=() if ready or _heard(port) else LATER)
        if not ready and (ready := answers(port)):
            tell(f"Airflow is ready: http://127.0.0.1:{port} (user admin; the password stands in {password})")
        if not ready and time.monotonic() - began > READY_SECONDS:
            where = f"{supervisor.logs}/airflow-*.log"
            raise Temporary(f"not ready after {READY_SECONDS:.0f} s", where=where, remedy="read the ends of those logs")
        ended.wait(0.5)


def answers(port: int) -> bool:
    """Whether its pages are there, and all of its parts have been heard of lately."""
    return _heard(port) >= {"metadatabase", "scheduler", "triggerer", "dag_processor"}


def _heard(port: int) -> set[str]:
    """Which of its parts are well, as the API server says; empty before it answers."""
    try:
        found = httpx.get(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=2.0, trust_env=False)
        told = found.json() if found.status_code == 200 else {}
    except (httpx.HTTPError, ValueError):
        return set()
    return {name for name, of in told.items() if isinstance(of, dict) and of.get("status") == "healthy"}


def _records(settings: Settings) -> list[process.Record]:
    """Of its parts, in the order of ending."""
    found = [process.read(run_folder(settings), name) for name in LATER[::-1] + FIRST]
    return [record for record in found if record is not None]


def end(settings: Settings) -> bool:
    """End it from elsewhere, also what a killed one has left. False where nothing of it ran."""
    record = process.read(run_folder(settings), NAME)
    ran = process.alive(record)
    if record is not None:
        process.terminate(record)
        deadline = time.monotonic() + len(PARTS) * GRACE
        while process.alive(record) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.forget(run_folder(settings), NAME)
    return stop_parts(settings) or ran


def stop_parts(settings: Settings) -> bool:
    """End its parts and whatever they have started. True where something ran."""
    records = _records(settings)
    ran = any(process.session(record) for record in records)
    for record in records:
        process.stop(record, grace=GRACE)
        while process.session(record):  # a step that was begun while we waited
            process.stop(record, grace=0.0)
        process.forget(run_folder(settings), record.name)
    return ran
