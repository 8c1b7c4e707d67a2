"""Scripts played to the real Flagger: one process, one namespace for each script, all in step.

Flagger ticks a canary every interval, 10 s at the least. But whenever the interval in the Canary's spec changes, it
stops the canary's ticker and starts another one, whose first tick comes at once (`scheduleCanaries` in its
pkg/controller/scheduler.go). So with an interval of an hour, and a second more each time, one patch is one tick: a
script takes as long as Flagger works. `paced=True` lets Flagger's own ticker run instead, at 10 s.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from cluster.control import ControlPlane, Options, free_port
from cluster.control_daemon import Daemon
from cluster.engines import binary, module
from cluster.parity.deployments import PRIMARY, DeploymentController, deployment, release_of
from cluster.parity.fakes import Answers
from cluster.parity.kube import Kube, Object, Watch
from cluster.parity.quiet import wait_until_quiet
from cluster.parity.script import Script, World
from cluster.parity.trace import Tick, Trace, deduplicated
from coalmine.errors import Broken

_HOUR = 3600
_TICK_SECONDS = 300.0  # for all canaries of a round to begin; on an idle machine it takes four
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "verbs": ["get"], "resources": [{"group": "flagger.app", "resources": ["canaries"]}]},
        {"level": "None"},
    ],
}


@dataclass
class Played:
    """What came of all scripts: a trace for each, and every version of the objects that passed, with the wall clock."""

    traces: dict[str, Trace] = field(default_factory=dict)
    canaries: dict[str, list[tuple[float, Object]]] = field(default_factory=dict)
    deployments: dict[str, list[tuple[float, Object]]] = field(default_factory=dict)


def play(scripts: Sequence[Script], folder: Path, *, paced: bool = False) -> Played:
    """Play all scripts at once. Raises Broken, with the log's end, if an engine does not do its part."""
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(_AUDIT))
    audit = folder / "audit.log"
    flags = (*Options().flags, f"--audit-policy-file={policy}", f"--audit-log-path={audit}")
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(folder, Options(flags=flags)))
        client = stack.enter_context(plane.client())
        answers = stack.enter_context(Answers())
        kube = Kube(client)
        kube.install(module("flagger") / "artifacts/flagger/crd.yaml")
        routes = module("gateway-api") / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
        kube.install(routes)
        canaries = stack.enter_context(Watch(stack.enter_context(plane.client()), "Canary"))
        deployments = stack.enter_context(Watch(stack.enter_context(plane.client()), "Deployment"))
        flagger = Daemon("flagger", folder)
        stack.callback(flagger.stop)
        stage = _Stage(scripts, kube, answers, Rounds(audit, [plane.etcd, plane.api, flagger], answers), paced=paced)
        stage.build()
        flagger.start(_command(plane, answers, paced=paced))
        for number in range(max(script.ticks for script in scripts)):
            stage.round(number)
        return stage.played(canaries, deployments)


def _command(plane: ControlPlane, answers: Answers, *, paced: bool) -> list[str]:
    return [
        str(binary("flagger")),
        f"-kubeconfig={plane.kubeconfig}",
        f"-metrics-server=http://127.0.0.1:{answers.port}",
        "-mesh-provider=gatewayapi:v1",
        f"-port={free_port()}",
        f"-control-loop-interval={'10s' if paced else '50ms'}",
        "-kubeconfig-qps=1000",  # its client's own brake is a timer, and looks like the end of a tick
        "-kubeconfig-burst=2000",
        "-log-level=info",
    ]


class Rounds:
    """Where a tick begins and ends. It begins with a GET of the Canary, which the API server's audit log shows."""

    def __init__(self, audit: Path, daemons: Sequence[Daemon], answers: Answers) -> None:
        self._audit, self._daemons, self._answers = audit, daemons, answers
        self._read = 0

    def wait(self, names: Sequence[str], *, patience: float = 0.0) -> None:
        """Return when each of these has begun a tick since the last call, and all of them have ended.

        `patience`: how long Flagger may sleep within a tick, in seconds; its pauses between tries look like the end.
        """
        begun: Counter[str] = Counter()
        deadline = time.monotonic() + _TICK_SECONDS
        while missing := [name for name in names if not begun[name]]:
            if time.monotonic() > deadline:
                raise Broken(f"no tick of {missing}\n{self._daemons[-1].tail()}", where=str(self._daemons[-1].log))
            for daemon in self._daemons:
                daemon.check()
            begun.update(self._new())
            time.sleep(0.02)
        pids = [pid for daemon in self._daemons if (pid := daemon.pid()) is not None]
        wait_until_quiet(pids, busy=lambda: self._answers.busy)
        if patience:
            time.sleep(patience)
            wait_until_quiet(pids, busy=lambda: self._answers.busy)
        self._new()  # whatever was asked up to now belongs to a tick that is over

    def _new(self) -> list[str]:
        """Namespaces whose Canary Flagger has got since the last call."""
        if not self._audit.exists():
            return []
        with self._audit.open() as lines:
            lines.seek(self._read)
            text = lines.read()
        whole = text[: text.rfind("\n") + 1]
        self._read += len(whole.encode())
        events = [json.loads(line) for line in whole.splitlines()]
        return [event["objectRef"]["namespace"] for event in events if event["userAgent"].startswith("flagger/")]


class _Stage:
    """The scripts' worlds on the API server, moved on one tick at a time."""

    def __init__(self, scripts: Sequence[Script], kube: Kube, answers: Answers, rounds: Rounds, *, paced: bool) -> None:
        self._scripts, self._kube, self._answers, self._rounds, self._paced = scripts, kube, answers, rounds, paced
        self._base = f"http://127.0.0.1:{answers.port}"
        self._arms = DeploymentController(kube)
        self._ticks: dict[str, list[Tick]] = {script.name: [] for script in scripts}
        self._ends: dict[str, int] = {}  # the API server's version at a script's last look: Flagger goes on, unasked

    def build(self) -> None:
        for script in self._scripts:
            world = script.world(0)
            self._answers.show(script, world)
            self._kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": script.name}})
            self._kube.create(deployment(script.name, world.release))
            for template in script.templates(self._base):
                self._kube.create(template)
            self._kube.create(self._canary(script, world, 0))

    def round(self, number: int) -> None:
        """One tick of all scripts that are not over."""
        playing = [script for script in self._scripts if number < script.ticks]
        worlds = {script.name: script.world(number) for script in playing}
        for script in playing:
            self._change(script, worlds[script.name], number)
        self._arms.sync(worlds, tick=number)
        if not self._paced:
            for script in playing:
                if number > 0:
                    self._prompt(script, worlds[script.name], number)
        self._rounds.wait(list(worlds), patience=max(world.patience for world in worlds.values()))
        self._look(playing)
        self._arms.sync(worlds, tick=number)

    def _change(self, script: Script, world: World, number: int) -> None:
        before = script.world(number - 1) if number else world
        self._answers.show(script, world)
        if world.release != before.release:
            change = {"spec": {"template": deployment(script.name, world.release)["spec"]["template"]}}
            self._kube.patch("Deployment", script.name, "sentiment", change)
        if self._paced and (world.spec, world.analysis) != (before.spec, before.analysis):
            self._prompt(script, world, number)

    def _prompt(self, script: Script, world: World, number: int) -> None:
        self._kube.patch("Canary", script.name, "sentiment", {"spec": self._canary(script, world, number)["spec"]})

    def _canary(self, script: Script, world: World, number: int) -> Object:
        canary = script.canary(self._base, world)
        canary["spec"]["analysis"]["interval"] = "10s" if self._paced else f"{_HOUR + number}s"
        return canary

    def _look(self, playing: Sequence[Script]) -> None:
        weights = {route["metadata"]["namespace"]: _weight(route) for route in self._kube.list("HTTPRoute")[0]}
        statuses = {one["metadata"]["namespace"]: one.get("status", {}) for one in self._kube.list("Canary")[0]}
        deployments, version = self._kube.list("Deployment")
        primaries = {one["metadata"]["namespace"]: one for one in deployments if _primary(one)}
        for script in playing:
            status = statuses[script.name]
            tick = Tick(
                status.get("phase", ""),
                weights.get(script.name, 0),
                status.get("failedChecks", 0),
                release_of(primaries[script.name]),
                self._answers.calls(script.name),
            )
            self._ticks[script.name].append(tick)
            self._ends[script.name] = int(version)

    def played(self, canaries: Watch, deployments: Watch) -> Played:
        played = Played()
        time.sleep(0.5)  # the watches' last lines
        for script in self._scripts:
            seen = canaries.of(script.name, until=self._ends[script.name])
            phases = deduplicated([one.get("status", {}).get("phase", "") for _, one in seen])
            played.traces[script.name] = Trace(tuple(self._ticks[script.name]), phases)
            played.canaries[script.name] = seen
            played.deployments[script.name] = deployments.of(script.name, until=self._ends[script.name])
        return played


def _primary(found: Object) -> bool:
    return bool(found["metadata"]["name"] == PRIMARY)


def _weight(route: Object) -> int:
    for backend in route["spec"]["rules"][0]["backendRefs"]:
        if backend["name"] == "sentiment-canary":
            return int(backend["weight"])
    return 0
