"""What the real Flagger did with each script, as files: `PYTHONPATH=tests python -m cluster.parity.histories`.

One file a script, `histories/<name>.json`. `ticks` is what the parity tests compare. `canary` is every status that the
API server held, and `deployments` every revision and size, each with its time in seconds since the Canary was made:
for tests of what reads a Canary's status, such as the closer in a cluster. Recorded at Flagger's own pace, 10 s a tick.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from cluster.parity.deployments import release_of
from cluster.parity.flagger import Played, play
from cluster.parity.kube import Object
from cluster.parity.script import Script
from cluster.parity.scripts import SCRIPTS
from cluster.parity.trace import Call, Tick, Trace

FOLDER = Path(__file__).with_name("histories")


def record(scripts: tuple[Script, ...]) -> None:
    """Play the scripts to the real Flagger, some minutes at its own pace, and write their files anew."""
    with tempfile.TemporaryDirectory(prefix="parity-") as folder:
        played = play(scripts, Path(folder), paced=True)
    FOLDER.mkdir(exist_ok=True)
    for script in scripts:
        (FOLDER / f"{script.name}.json").write_text(_written(_history(script, played)))


def recorded(script: Script) -> Trace:
    """What the real Flagger did with this script when it was recorded. Raises FileNotFoundError for a new one."""
    history = json.loads((FOLDER / f"{script.name}.json").read_text())
    ticks = [
        Tick(
            tick["phase"],
            tick["weight"],
            tick["failedChecks"],
            tick["primary"],
            tuple(Call(**call) for call in tick["calls"]),
        )
        for tick in history["ticks"]
    ]
    return Trace(tuple(ticks), tuple(history["phases"]))


def _history(script: Script, played: Played) -> dict[str, Any]:
    trace, canaries = played.traces[script.name].named(), played.canaries[script.name]
    start = canaries[0][0]
    return {
        "script": script.name,
        "promise": script.promise,
        "phases": list(trace.phases),
        "ticks": [_tick(tick) for tick in trace.ticks],
        "canary": [_status(at - start, found) for at, found in canaries],
        "deployments": _revisions(played.deployments[script.name], start),
    }


def _tick(tick: Tick) -> dict[str, Any]:
    calls = [{"kind": call.kind, "name": call.name, "body": call.body} for call in tick.calls]
    state = {"phase": tick.phase, "weight": tick.weight, "failedChecks": tick.failed_checks}
    return state | {"primary": tick.primary, "calls": calls}


def _status(at: float, found: Object) -> dict[str, Any]:
    return {"t": round(at, 1), "generation": found["metadata"]["generation"], "status": found.get("status", {})}


def _revisions(seen: list[tuple[float, Object]], start: float) -> list[dict[str, Any]]:
    """Only what changed: a Deployment's status is the scripts' own doing."""
    revisions: list[dict[str, Any]] = []
    last: dict[str, tuple[str, int]] = {}
    for at, found in seen:
        name, spec = found["metadata"]["name"], found["spec"]
        now = (release_of(found), spec["replicas"])
        if last.get(name) != now:
            last[name] = now
            revisions.append({"t": round(at - start, 1), "name": name, "release": now[0], "replicas": now[1]})
    return revisions


def _written(history: dict[str, Any]) -> str:
    """JSON with one record a line, so that a difference between two recordings can be read."""
    parts = []
    for key, content in history.items():
        if isinstance(content, list) and content and isinstance(content[0], dict):
            lines = ",\n".join("  " + json.dumps(each) for each in content)
            parts.append(f"{json.dumps(key)}: [\n{lines}\n ]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(content)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


if __name__ == "__main__":
    wanted = set(sys.argv[1:])
    record(tuple(script for script in SCRIPTS if not wanted or script.name in wanted))
