"""What `coalmine status` and the foreground of `up` show: one picture of the last status that the controller wrote."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from coalmine.errors import BadInput
from coalmine.local import process, up
from coalmine.local.controller import read_status, run_folder
from coalmine.release.ledger import Ledger
from coalmine.settings import Settings

STALE_SECONDS = 5.0


def report(settings: Settings) -> dict[str, Any]:
    """The controller's last word, whether it still runs, what the judge says, and the releases known here."""
    told: dict[str, Any] = dict(read_status(settings))
    told["running"] = up.running(settings)
    run = run_folder(settings)
    told["parts"] = {name: process.alive(process.read(run, name)) for name in told.get("parts", {})}
    told["judge"] = _judge(settings) if told["running"] else {}
    if settings.database.exists():
        ledger = Ledger(settings.database)
        told["releases"] = [
            {
                "release": str(known.id),
                "quarantined": ledger.quarantined(settings.model, known.id) is not None,
                "primary": known.id == ledger.primary(settings.model),
            }
            for known in ledger.releases(settings.model)
        ]
    return told


def _judge(settings: Settings) -> dict[str, Any]:
    """The newest analysis; empty where the judge does not answer."""
    try:
        found = httpx.get(f"{settings.judge_url}/api/v1/analyses", timeout=1.0, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return {}
    newest = found[0] if isinstance(found, list) and found else {}
    return newest if isinstance(newest, dict) else {}


def lines(told: Mapping[str, Any]) -> list[str]:
    """The picture as plain lines."""
    console = Console(width=110, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(picture(told))
    return [line.rstrip() for line in captured.get().splitlines()]


def picture(told: Mapping[str, Any]) -> RenderableType:
    """What runs, what is rolling out, what it waits for."""
    if not told.get("t"):
        return Text("nothing runs here yet: coalmine up")
    parts = [Text("  ".join(f"{'●' if alive else '○'} {name}" for name, alive in told["parts"].items()))]
    if not told.get("running", True):
        parts.insert(0, Text("not running; this was the last state: coalmine up", style="bold yellow"))
    elif time.time() - told["t"] > STALE_SECONDS:
        parts.insert(0, Text(f"the controller has been silent for {time.time() - told['t']:.0f} s", style="bold red"))
    if told.get("problem"):
        parts.append(Text(f"problem: {told['problem']}", style="red"))
    return Group(*parts, _rollout(told["rollout"], told.get("judge", {})), _addresses(told))


def _rollout(rollout: Mapping[str, Any], judge: Mapping[str, Any]) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    if not rollout["phase"]:
        table.add_row("rollout", "none yet: coalmine retrain --release")
        return table
    table.add_row("phase", f"{rollout['phase']}, attempt {rollout['attempt']}, commit {rollout['commit'][:7]}")
    table.add_row("weight", f"{rollout['weight']} %  {bar(rollout['weight'])}")
    for name, slot in rollout["slots"].items():
        if slot["release"]:
            faults = f", faults {slot['faults']}" if slot["faults"] else ""
            why = f" ({slot['why']})" if slot["why"] else ""
            table.add_row(name, f"{slot['release']}, {slot['role']}, {slot['health']}{why}{faults}")
    for name, value in (
        ("waits for", rollout["waiting_for"]),
        ("verdict", rollout["verdict"]),
        ("queued", rollout["queued"]),
        ("judge", judge.get("reason", "") if rollout["phase"] not in ("Succeeded", "Initialized", "Failed") else ""),
    ):
        if value:
            table.add_row(name, str(value))
    if rollout["bake_left"]:
        table.add_row("bake", f"{rollout['bake_left']:.0f} s left, the old arm is warm")
    return table


def bar(percent: int, *, width: int = 20) -> str:
    """A share as a bar, for instance `█████···············`."""
    full = round(percent * width / 100)
    return "█" * full + "·" * (width - full)


def _addresses(told: Mapping[str, Any]) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), style="dim")
    for name in ("url", "page", "registry", "repository"):
        table.add_row(name, str(told[name]))
    return table


@contextmanager
def live() -> Iterator[Callable[[Mapping[str, object]], None]]:
    """The picture, kept fresh in the terminal; what is given to the yielded function is shown next."""
    with Live(Text("starting ..."), refresh_per_second=4) as screen:
        yield lambda told: screen.update(picture(told))


def watch(settings: Settings) -> None:
    """The picture of a runtime elsewhere in the background, until Ctrl-C."""
    with live() as tell:
        try:
            while True:
                tell(report(settings))
                time.sleep(0.5)
        except KeyboardInterrupt:
            return


def find_report(settings: Settings, wanted: str) -> dict[str, Any]:
    """The newest report on a release: its facts, and where the page lies. Raises BadInput where there is none."""
    reports = [
        (attempt, found)
        for attempt, found in Ledger(settings.database).reports(settings.model)
        if str(found.release) == wanted
    ]
    if not reports:
        raise BadInput(f"no report on {wanted!r}", remedy="it is written when a rollout ends: coalmine status")
    found = max(reports, key=lambda pair: pair[0])[1]
    facts: dict[str, Any] = json.loads(Path(found.json).read_text(encoding="utf-8"))
    return {**facts, "html": found.html, "json": found.json}
