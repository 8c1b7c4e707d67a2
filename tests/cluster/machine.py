"""The bench's node: a whole Kubernetes on this machine, brought up and taken down as one thing.

`up` may be called at any time, also after a crash of anything or of everything: what is whole is left alone, what is
not is started again on the state that lies there. `down` needs no memory of `up`: it finds what is there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster import cache, golang, images, network, packages
from cluster.control import ControlPlane, Options
from cluster.control_daemon import Daemon
from cluster.engines import binary
from cluster.kubectl import Kubectl
from cluster.node import cgroups, mounts, traces
from cluster.node.commands import NAMES, Commands
from cluster.node.layout import (
    ADDRESS,
    API_PORT,
    BENCH_DOMAIN,
    COREDNS,
    DNS,
    DOMAIN,
    NODE,
    PAUSE,
    SERVICES,
    Layout,
)
from coalmine.errors import Broken, Missing

READY_SECONDS = 300.0
_LOCK = "machine"
_PLANE = ("etcd", "kube-apiserver")
_ENGINES = ("kube-apiserver", "kubectl", *NAMES, "containerd-shim-runc-v2", "runc", "ctr")


@dataclass(frozen=True, slots=True)
class Status:
    """`engines`: the pid of each, or None. `traces`: what the bench has on this machine."""

    folder: Path
    engines: dict[str, int | None]
    traces: list[traces.Trace]

    @property
    def up(self) -> bool:
        return all(self.engines.values())


def kubeconfig() -> Path:
    """Of the cluster that tests use: `$KUBECONFIG` if it is set, else the bench's own. Raises Missing if none is up."""
    if own := os.environ.get("KUBECONFIG"):
        return Path(own)
    path = Layout.here().kubeconfig
    if not path.exists():
        raise Missing("the bench is not up", remedy="make cluster-up, or KUBECONFIG=<of a cluster of yours>")
    return path


class Machine:
    """The bench of this machine. It holds no state of its own: another one, in another process, finds the same."""

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout.here()
        self.daemons = {name: _Caged(name, self.layout.plane) for name in _PLANE}
        self.daemons |= {name: _Caged(name, self.layout.daemons) for name in NAMES}

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.layout.kubeconfig)

    def up(self, *, say: Callable[[str], None] = lambda _: None) -> None:
        """Return when the node is ready, DNS answers and pods can be made. Builds what is not built (long).

        Raises Missing (packages, root, cgroup v1), BadInput (another bench, a folder that is not ours), Broken.
        """
        _may_run_here()
        for name in _ENGINES:
            binary(name)
        for name in (PAUSE, COREDNS):
            images.image(name)
        with cache.locked(_LOCK):
            if not (self.status().up and network.ours(self.layout)):
                self._halt()
                self._start(say)
            images.load((PAUSE, COREDNS), ctr=self.ctr, say=say)
            say("waiting for the node and its DNS")
            self.kubectl.apply(_dns())
            self._settle()

    def down(self, *, keep: bool = False, say: Callable[[str], None] = lambda _: None) -> None:
        """End everything and remove every trace; with `keep`, the state stays in the folder for the next `up`.

        Does nothing where nothing is. Raises Broken, naming it, if something stays.
        """
        with cache.locked(_LOCK):
            if keep:
                for name in reversed(_PLANE):
                    self.daemons[name].stop()  # by TERM and in order, so that the store is whole
            say("stopping")
            self._halt()
            network.remove(self.layout)
            traces.remove_files(self.layout)
            if left := traces.found(self.layout):
                names = "\n".join(f"  {trace.kind} {trace.name}" for trace in left)
                raise Broken(f"the bench left on this machine:\n{names}", where=str(self.layout.folder))
            if not keep:
                self.layout.delete()

    def status(self) -> Status:
        """What runs, and what is there."""
        pids = {name: daemon.pid() for name, daemon in self.daemons.items()}
        return Status(self.layout.folder, pids, traces.found(self.layout))

    def daemon(self, name: str) -> Daemon:
        """One of the bench's processes, or one more that shall live and die with the bench."""
        return self.daemons.get(name) or _Caged(name, self.layout.daemons)

    def ctr(self, *words: str) -> str:
        """containerd's own client in the namespace of Kubernetes. Raises Broken with what it says."""
        line = [str(binary("ctr")), "--address", str(self.layout.socket), "--namespace", "k8s.io", *words]
        return mounts.run(*line)

    def _start(self, say: Callable[[str], None]) -> None:
        self.layout.make()
        cgroups.make()
        mounts.share(self.layout.kubelet)
        network.make(self.layout)
        say("starting the control plane")
        plane = ControlPlane(self.layout.plane, Options(address=ADDRESS, port=API_PORT, services=SERVICES, flags=()))
        plane.etcd, plane.api = (self.daemons[name] for name in _PLANE)
        plane.start()
        commands = Commands(self.layout, plane.authority)
        for name in NAMES:
            say(f"starting {name}")
            self.daemons[name].start(commands.of(name))
            if name == "containerd":
                self._until(self._containerd_answers, "containerd answers")

    def _halt(self) -> None:
        """End every process and undo every mount; files and the network stay."""
        for daemon in self.daemons.values():
            if (pid := daemon.pid()) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        cgroups.kill()
        for daemon in self.daemons.values():
            daemon.stop()  # its pid file goes; a child of ours is reaped
        mounts.remove(self.layout.folder)
        cgroups.remove()

    def _settle(self) -> None:
        """Wait for what a pod needs: a node, DNS, and the account that it runs as."""
        self._until(lambda: self._there("node", NODE), "the node is registered")
        self.kubectl.wait(f"node/{NODE}", "Ready", seconds=READY_SECONDS)
        self._until(lambda: self._there("serviceaccount", "default"), "the default service account exists")
        self.kubectl.within("kube-system").rolled_out("deployment/coredns", seconds=READY_SECONDS)

    def _there(self, kind: str, name: str) -> bool:
        return bool(self.kubectl.run("get", kind, name, "--ignore-not-found", "--output=name").strip())

    def _containerd_answers(self) -> bool:
        try:
            self.ctr("version")
        except Broken:
            return False
        return True

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition. Raises Broken at once if an engine ends, with its last lines."""
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            for daemon in self.daemons.values():
                if daemon.begun:
                    daemon.check()
            if time.monotonic() > deadline:
                raise Broken(f"after {READY_SECONDS:.0f} s it is not so that {what}", where=str(self.layout.daemons))
            time.sleep(0.1)


class _Caged(Daemon):
    """A daemon that starts inside the bench's cgroup, and so do its children."""

    begun = False

    def start(self, command: Sequence[str]) -> None:
        super().start(cgroups.inside(command))
        self.begun = True


def able() -> None:
    """Raises Missing where no bench can be had: no root, no cgroup v1, no Go, packages that nothing installs."""
    _has_rights()
    golang.command()
    packages.obtainable()


def _may_run_here() -> None:
    """Raises Missing with all that the machine lacks."""
    packages.check((*packages.BUILD, *packages.NODE))
    _has_rights()


def _has_rights() -> None:
    if os.geteuid() != 0:
        remedy = "sudo make cluster-up, or KUBECONFIG=<of a cluster of yours> make test-cluster"
        raise Missing("a node needs root: cgroups, mounts, a bridge", remedy=remedy)
    cgroups.hierarchies()


def _dns() -> str:
    text = (Path(__file__).parent / "node" / "coredns.yaml").read_text()
    values = {
        "ADDRESS": ADDRESS,
        "BENCH_DOMAIN": BENCH_DOMAIN,
        "DNS": DNS,
        "DOMAIN": DOMAIN,
        "IMAGE": COREDNS,
        "NODE": NODE,
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
