"""`coalmine up` and `down`: one controller for a state folder, in the foreground or detached; all ends with it."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

import httpx

from coalmine.errors import Refused, Temporary
from coalmine.local import doctor, process
from coalmine.local.arms import SPARE
from coalmine.local.controller import Controller, prepare, read_status, run_folder
from coalmine.local.parts import environment, stored
from coalmine.records import Slot
from coalmine.settings import Settings

CONTROLLER = "controller"
READY_SECONDS = 60.0
ORDER = (
    "nginx",
    *(f"arm-{slot}" for slot in Slot),
    SPARE,
    "looking",
    "feedback",
    "judge",
    "mlflow",
)  # traffic ends first


@contextmanager
def alone(
    settings: Settings, name: str = "lock", *, remedy: str = "coalmine status, or coalmine down first"
) -> Iterator[None]:
    """Hold the state folder. Raises Refused where another `up` holds it; the lock ends with its process."""
    run_folder(settings).mkdir(parents=True, exist_ok=True)
    with (run_folder(settings) / name).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused("already running here", where=str(settings.state), remedy=remedy) from error
        yield


def foreground(settings: Settings, tell: Callable[[Mapping[str, object]], None] = lambda _: None) -> None:
    """Run until SIGINT or SIGTERM, then end every part in order. Raises Missing, Refused or BadInput at the start."""
    with alone(settings):
        if not _leftovers(settings):
            doctor.demand(settings)
        ended = threading.Event()

        def end(_signal: int, _frame: FrameType | None) -> None:
            ended.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        record = process.Record(CONTROLLER, os.getpid(), process.born(os.getpid()))
        process.write(run_folder(settings), record)
        controller = Controller(settings, ended)
        try:
            controller.run(tell)
        finally:
            controller.arms.close(stop=False)
            stop_parts(settings)
            process.forget(run_folder(settings), CONTROLLER)


def detached(settings: Settings) -> None:
    """Start the controller in the background and wait until it answers.

    Raises: Refused where one runs already; Missing where the machine lacks something; Temporary where it ends or is
    not ready within a minute, with where its log lies.
    """
    with alone(settings):
        if not _leftovers(settings):
            doctor.demand(settings)
        prepare(settings)
    said = settings.logs / "controller.log"
    command = [sys.executable, "-m", "coalmine.cli", "--project", str(settings.project), "--state", str(settings.state)]
    began = time.time()
    env = environment() | {name: os.environ[name] for name in ("COALMINE_PORT_BASE",) if name in os.environ}
    env |= stored(settings)
    env["COALMINE_MODEL"] = settings.model  # it may be known from our environment alone
    # Not yet recorded as the controller: it does that itself once it holds the lock, which another may be quicker to.
    name = f"starting-{os.getpid()}"
    _, child = process.start(run_folder(settings), name, command=[*command, "up", "--quiet"], env=env, log=said)
    process.forget(run_folder(settings), name)
    while time.time() < began + READY_SECONDS:
        if child.poll() is not None:
            words = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise Temporary(f"it ended by itself: {' '.join(words)}", where=str(said), remedy="coalmine doctor")
        if _answers(settings, since=began):
            child.returncode = 0  # it goes on without us: no warning when our handle of it goes
            return
        time.sleep(0.1)
    raise Temporary(f"not ready after {READY_SECONDS:.0f} s", where=str(said), remedy="read that log; coalmine down")


def _answers(settings: Settings, *, since: float) -> bool:
    """The loop goes round, the edge is open, judge and feedback service answer; MLflow's slow start is not awaited."""
    status = read_status(settings)
    told, alive = status.get("t"), status.get("parts")
    if not isinstance(told, float) or told < since or not isinstance(alive, dict) or not alive.get("nginx"):
        return False
    try:
        urls = (f"{settings.judge_url}/healthz", f"http://127.0.0.1:{settings.ports.feedback}/healthz")
        return all(httpx.get(url, timeout=1.0, trust_env=False).status_code == 200 for url in urls)
    except httpx.HTTPError:
        return False


def down(settings: Settings) -> bool:
    """End the controller and every part, also those that a killed controller left. False where nothing ran."""
    folder = run_folder(settings)
    record = process.read(folder, CONTROLLER)
    ran = process.alive(record)
    if record is not None:
        process.terminate(record)
        deadline = time.monotonic() + 60
        while process.alive(record) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.stop(record, grace=0.0)
        process.forget(folder, CONTROLLER)
    return stop_parts(settings) or ran


def stop_parts(settings: Settings) -> bool:
    """End what runs for this state folder, the edge first. True where something did."""
    folder = run_folder(settings)
    found = [record for name in ORDER if (record := process.read(folder, name)) is not None]
    ran = any(process.alive(record) for record in found)
    for record in found:
        process.stop(record)
        process.forget(folder, record.name)
    return ran


def running(settings: Settings) -> bool:
    return process.alive(process.read(run_folder(settings), CONTROLLER))


def _leftovers(settings: Settings) -> bool:
    """Whether anything of an earlier life still runs, nginx's workers alone included: they may hold its ports."""
    records = [process.read(run_folder(settings), name) for name in ORDER]
    return any(process.session(record) for record in records if record is not None)
