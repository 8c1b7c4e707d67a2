"""CPU, memory and restarts of this machine's runtime, by the records that `up` keeps in `<state>/run/`."""

from __future__ import annotations

import json

import psutil

from coalmine.drift.health import Process
from coalmine.settings import Settings

_CLOCK = 0.05  # seconds; creation times are counted in ticks of 10 ms


def processes(settings: Settings) -> tuple[Process, ...]:
    """Each process that runs, with its children's share; none where nothing was started here."""
    found = []
    for path in sorted((settings.state / "run").glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            one = psutil.Process(int(record["pid"]))
            if abs(one.create_time() - float(record["created"])) > _CLOCK:
                continue  # the pid is somebody else's by now
            restarts = int(record.get("marks", {}).get("restarts", 0))
            found.append(_measured(str(record["name"]), one, restarts))
        except (OSError, ValueError, KeyError, TypeError, psutil.Error):
            continue  # it has ended meanwhile, or the file is no record
    return tuple(found)


def _measured(name: str, one: psutil.Process, restarts: int) -> Process:
    """The process and all that it has started: nginx's workers, MLflow's."""
    seconds, resident = 0.0, 0
    for each in (one, *one.children(recursive=True)):
        try:
            times = each.cpu_times()
            seconds += times.user + times.system
            resident += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return Process(name, seconds, resident, restarts)
