"""A whole runtime in a clone of its own, driven by the command line as a user would."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from coalmine.local import process, up
from coalmine.local.controller import read_status, run_folder
from coalmine.local.scene import People, Scene, free_base
from coalmine.records import Ending, ReleaseId
from coalmine.release.alias import registry
from coalmine.release.cost import Cost
from coalmine.release.git import MAIN, Repository
from coalmine.release.ledger import Ledger
from coalmine.rollout.store import SqliteStore
from coalmine.settings import FILE, Settings, load

ROOT = Path(__file__).parents[2]

# The same mechanism, in a hurry: fewer steps, a shorter bake, and evidence that some hundred requests can give.
POLICY = """\
version: 1
minimum_seconds: 3
step_outcomes: 20
silence_seconds: 6
metrics:
  errors: {tolerated_rate: 0.05}
  latency: {tolerated_rate: 0.5}
  feedback: {role: guardrail, weight: 2, odds_ratio_promote: 5}
drills: true
sample_ratio: alarm # few users who ask often and stay on their arm: their requests are no coin tosses
bake: {seconds: 5}
"""
OVERLAY = """\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata:
  name: sentiment
spec:
  progressDeadlineSeconds: 15
  analysis:
    interval: 1s
    stepWeights: [20, 50]
"""


STICKY = "X-User-Id"  # users who send it stay on their arm; who does not is split by request


@dataclass(slots=True)
class Runtime:
    """One clone, one state folder, one port range. `scene` has what the demo waits and counts with."""

    checkout: Path
    settings: Settings
    env: Mapping[str, str]
    scene: Scene
    people: list[People] = field(default_factory=list)

    # ---- what a user types ----------------------------------------------------------------------------------

    def try_cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "coalmine.cli", *arguments],
            cwd=self.checkout,
            env=dict(self.env),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def cli(self, *arguments: str) -> str:
        done = self.try_cli(*arguments)
        assert done.returncode == 0, f"coalmine {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def git(self, *arguments: str) -> str:
        return Repository(self.checkout).run(*arguments).strip()

    def commit(self, path: str, text: str, *, why: str) -> str:
        (self.checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (self.checkout / path).write_text(text)
        self.git("add", "--", path)
        self.git("commit", "--quiet", "-m", why)
        return self.git("rev-parse", "HEAD")

    def pull(self) -> None:
        """Bring the clone to main, healing commits included."""
        self.git("fetch", "--quiet", "coalmine")
        self.git("reset", "--quiet", "--hard", "coalmine/main")

    def build(self, version: int) -> str:
        """Another release of a model version: built from a new commit, so it has an id of its own."""
        self.pull()
        self.commit("NOTES", f"{time.time_ns()}\n", why="a new source tree")
        self.git("push", "--quiet", "coalmine", "HEAD:main")
        release: str = json.loads(self.cli("--json", "package", str(version)))["id"]
        return release_id(release)

    def unused(self) -> str:
        """A release that may be pushed and does not serve: an earlier one, or one built now."""
        serves = self.ledger.primary(self.settings.model)
        for known in self.ledger.releases(self.settings.model):
            if known.id != serves and self.ledger.quarantined(self.settings.model, known.id) is None:
                return str(known.id)
        return self.build(2)

    def push(self, release: str, *, fault: str = "", force: str = "") -> int:
        """Release it; returns the number of the attempt that begins."""
        attempt = self.attempt() + 1
        options = [*(("--fault", fault) if fault else ()), *(("--force", force) if force else ())]
        self.cli("release", release, *options)
        return attempt

    # ---- what is seen ---------------------------------------------------------------------------------------

    @property
    def bare(self) -> Repository:
        return Repository(self.settings.bare_repository, bare=True)

    @property
    def store(self) -> SqliteStore:
        return SqliteStore(self.settings.database)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.database)

    def rollout(self) -> dict[str, Any]:
        told: Any = read_status(self.settings).get("rollout") or {}
        return dict(told)

    def attempt(self) -> int:
        saved = self.store.load(self.settings.model)
        return saved.state.attempt if saved else 0

    def weight(self) -> int:
        """The canary's, as saved: the status is half a second behind."""
        saved = self.store.load(self.settings.model)
        return saved.state.weight if saved else 0

    def candidate(self) -> ReleaseId | None:
        saved = self.store.load(self.settings.model)
        return saved.state.candidate.release if saved and saved.state.candidate else None

    def wait(self, what: str, ready: Callable[[], Any], *, seconds: float = 90) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := ready():
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s: {what}; {json.dumps(read_status(self.settings), indent=1)}")

    def canary_at(self, weight: int, *, seconds: float = 60) -> None:
        self.wait(f"the canary at {weight} %", lambda: self.rollout().get("weight", 0) >= weight, seconds=seconds)

    def ended(self, attempt: int, *, seconds: float = 120) -> Ending:
        """How it ended, when git, alias and report are in line with it as well."""
        found: Ending = self.wait(f"the end of attempt {attempt}", lambda: self.scene.ending(attempt), seconds=seconds)
        return found

    def cost(self, ending: Ending) -> Cost:
        return self.scene.cost(ending)

    def champion(self) -> int | None:
        return registry(self.settings).alias()

    def main(self) -> str:
        return str(self.bare.commit(MAIN))

    def message(self, revision: str = MAIN) -> str:
        return self.bare.run("log", "-1", "--format=%B", revision)

    def named(self) -> str:
        """The release that main's release file names."""
        text = self.bare.text(MAIN, "gitops/apps/sentiment/release/local/kustomization.yaml") or ""
        return text.split('newTag: "')[1].split('"')[0] if text else ""

    def kill(self, name: str) -> process.Record:
        """SIGKILL one of the runtime's own processes, by its record."""
        record = process.read(run_folder(self.settings), name)
        assert record is not None, name
        assert process.alive(record), name
        os.kill(record.pid, 9)
        return record

    def judge_api(self, path: str) -> Any:
        """What the judge's REST interface answers."""
        return httpx.get(f"{self.settings.judge_url}{path}", timeout=5, trust_env=False).json()

    @staticmethod
    def answers(url: str) -> bool:
        try:
            return httpx.get(url, timeout=1, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"https://127.0.0.1:{self.settings.ports.https}",
            verify=_trusting(self.settings.tls / "ca.pem"),
            timeout=15,
        )

    def crowd(self, *, rate: float = 80, domain: str = "tweets") -> People:
        people = self.scene.people()
        self.people.append(people)
        people.ask(rate=rate, domain=domain, split="traffic")
        return people


def _trusting(ca: Path) -> Any:
    return ssl.create_default_context(cafile=str(ca))


def release_id(value: Any) -> str:
    """A release id as `--json` prints it."""
    return value if isinstance(value, str) else f"m{value['version']}-{value['sha']}"


@contextmanager
def started(folder: Path, *, policy: str = POLICY, toml: str = "", base: int = 21443) -> Iterator[Runtime]:
    """A runtime in a fresh clone below `folder`: up, with version 1 (tweets) serving. Ended in any case."""
    checkout = folder / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    ports = {"COALMINE_PORT_BASE": str(free_base(base)), "COALMINE_STATE": str(folder / "state")}
    env = {**os.environ, **ports}
    (checkout / FILE).write_text(toml)
    settings = load(project=checkout, environ=env)
    here = Runtime(checkout, settings, env, Scene(folder, settings, Console(quiet=True)))
    here.git("config", "user.name", "A tester")
    here.git("config", "user.email", "tester@localhost")
    here.commit(FILE, toml, why="settings")
    here.commit("flagger/sentiment/policy.yaml", policy, why="a policy in a hurry")
    here.commit("flagger/sentiment/local/canary.yaml", OVERLAY, why="fewer steps")
    try:
        here.cli("up", "-d")
        first = release_id(json.loads(here.cli("--json", "retrain", "--domain", "tweets", "--no-votes"))["id"])
        here.ended(here.push(first))
        yield here
    finally:
        for people in here.people:
            people.leave()
        up.down(settings)
