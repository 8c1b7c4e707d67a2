"""What the demo is played on: a clone and a runtime of its own, people who ask and vote, and waiting with progress."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from coalmine.errors import Broken, Temporary
from coalmine.local import doctor, process, up
from coalmine.local.controller import read_status, run_folder
from coalmine.local.parts import environment
from coalmine.records import Ending
from coalmine.release import file as release_file
from coalmine.release.cost import Cost, count
from coalmine.release.git import MAIN, Repository
from coalmine.release.ledger import Ledger
from coalmine.rollout.store import SqliteStore
from coalmine.settings import Ports, Settings, load

PATIENCE = 120.0  # seconds for one rollout, before the story is given up


@dataclass(slots=True)
class People:
    """The traffic process and what it has seen."""

    process: subprocess.Popen[bytes]
    stats: Path

    def ask(self, *, rate: float, domain: str = "", split: str = "") -> None:
        """From now on, so many requests a second about this."""
        order = {"rate": rate} | ({"domain": domain, "split": split} if domain else {})
        if self.process.stdin is None or self.process.poll() is not None:
            raise Broken("the people have left", where=str(self.stats), remedy="see traffic.log beside it")
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def seen(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads(self.stats.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {"arms": [], "lost": 0}
        return told

    def thumbs(self, release: str = "") -> tuple[int, int]:
        """Thumbs up and down so far, of one release or of all."""
        arms = [arm for arm in self.seen()["arms"] if release in ("", arm["release"])]
        return sum(arm["up"] for arm in arms), sum(arm["down"] for arm in arms)

    def leave(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True, slots=True)
class Scene:
    """A runtime of the demo's own. `folder` holds all of it; the user's checkout is only cloned."""

    folder: Path
    settings: Settings
    console: Console

    @property
    def store(self) -> SqliteStore:
        return SqliteStore(self.settings.database)

    def people(self) -> People:
        """Start the traffic process, silent at first."""
        stats, here = self.folder / "people.json", self.settings
        command = [sys.executable, "-m", "coalmine.local.traffic", "--port", str(here.ports.https)]
        command += ["--ca", str(here.tls / "ca.pem"), "--project", str(here.project), "--model", here.model]
        with (self.folder / "traffic.log").open("ab") as log:
            child = subprocess.Popen(
                [*command, "--stats", str(stats)], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment()
            )
        return People(child, stats)

    def wait(self, what: str, ready: Callable[[], bool], *, seconds: float = PATIENCE) -> None:
        """Until `ready`, showing how the rollout goes. Raises Temporary after `seconds`."""
        began = time.monotonic()
        said = ""
        with self.console.status(what) as line:
            while not ready():
                told = self.now()
                line.update(f"{what}: {told}" if told else what)
                if told != said and not self.console.is_terminal:
                    self.console.print(f"  {time.monotonic() - began:5.1f} s  {told}", style="dim")
                    said = told
                if time.monotonic() - began > seconds:
                    raise Temporary(f"{what}: not after {seconds:.0f} s", remedy=f"see {self.settings.logs}")
                time.sleep(0.2)

    def now(self) -> str:
        """The rollout in a few words."""
        rollout: Any = read_status(self.settings).get("rollout") or {}
        if not rollout.get("phase"):
            return ""
        bake = ", baking" if rollout["bake_left"] else ""
        return f"{rollout['phase']} {rollout['weight']} %{bake}"

    def ending(self, attempt: int) -> Ending | None:
        """How an attempt ended, once git, alias and report are in line with it as well."""
        closed = {e.attempt for e in Ledger(self.settings.database).closings(self.settings.model)}
        still = {e.attempt for e in Ledger(self.settings.database).closings(self.settings.model, unfinished=True)}
        found = [e for e in self.store.endings(self.settings.model, after=attempt - 1) if e.attempt == attempt]
        return found[0] if found and attempt in closed - still else None

    def seconds(self, ending: Ending) -> float:
        """From the push to the verdict; the bake comes after it."""
        events = self.store.events(self.settings.model, attempt=ending.attempt)
        verdicts = [event.t for event in events if event.kind == "verdict"]
        return (verdicts[0] if verdicts else ending.ended) - ending.started

    def last_attempt(self) -> int:
        endings = self.store.endings(self.settings.model)
        return endings[-1].attempt if endings else 0

    def cost(self, ending: Ending) -> Cost:
        return count(self.settings.access_log, ending.release, started=ending.started, ended=ending.ended)

    def log(self, lines: int = 3) -> list[str]:
        """Main's last commits, one line each."""
        repository = Repository(self.settings.bare_repository, bare=True)
        return repository.run("log", f"-{lines}", "--format=%h %s", MAIN).splitlines()


def set_up(project: Path, console: Console) -> Scene:
    """A fresh clone and a fresh state under `<project>/.coalmine/demo`; an earlier demo is ended and removed."""
    folder = project / ".coalmine" / "demo"
    if (folder / "state" / "run").is_dir():
        old = load(project=project, state=folder / "state")
        up.down(old)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    checkout = folder / "checkout"
    Repository(project).run("clone", "--quiet", "--no-hardlinks", str(project), str(checkout))
    clone = Repository(checkout)
    for key, value in (("user.name", "Coalmine demo"), ("user.email", "demo@localhost")):
        clone.run("config", key, value)
    settings = load(project=checkout, state=folder / "state")
    _start_from_nothing(clone, release_file.path(settings.model, settings.env))
    if any(not finding.ok and finding.what.startswith("port") for finding in doctor.examine(settings)):
        base = free_base()
        console.print(f"the usual ports are taken; using {base} to {base + len(Ports.model_fields) - 1}")
        os.environ["COALMINE_PORT_BASE"] = str(base)  # for this process and the runtime that it starts
        settings = load(project=checkout, state=folder / "state")
    return Scene(folder, settings, console)


def _start_from_nothing(clone: Repository, at: str) -> None:
    """The clone may name a release of the user's own runtime, which the demo's has never built."""
    if (clone.path / at).exists():
        clone.run("rm", "--quiet", "--", at)
        clone.run("commit", "--quiet", "-m", "demo: nothing is released here yet")


def free_base(start: int = 18443, *, tries: int = 200) -> int:
    """The first of as many neighbouring free ports as a runtime needs. Raises Temporary where there are none."""
    width = len(Ports.model_fields)
    for base in range(start, start + tries * width, width):
        if all(_free(base + step) for step in range(width)):
            return base
    raise Temporary("no free ports on loopback", remedy="end something that listens there")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def memory(settings: Settings) -> dict[str, int]:
    """Proportional set size of each part in bytes, the arms and the spare included."""
    folder = run_folder(settings)
    records = {name: process.read(folder, name) for name in (up.CONTROLLER, *up.ORDER)}
    return {name: process.memory(record) for name, record in records.items() if record is not None}
