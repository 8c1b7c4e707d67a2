"""Where the bench's node keeps what it runs on: one folder, made by `up`, deleted by `down`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cluster import cache
from coalmine.errors import BadInput

NODE = "bench"
ADDRESS = "198.18.0.1"  # the machine's own, on the bridge; the range is kept for benchmarks and is no real network
PODS = "198.18.0.0/16"
REAL_PODS = ("198.18.1.1", "198.18.127.254")  # first and last; below them the bench may take addresses for itself
FAKE_PODS = "198.18.128.0/17"  # of pods on pretended nodes
SERVICES = "198.19.0.0/16"
DNS = "198.19.0.10"
DOMAIN = "cluster.local"
BENCH_DOMAIN = "bench.test"  # every name below it is the machine: git, registry, webhooks
API_PORT = 6443
KWOK = "kwok"
REGISTRY = f"registry.{BENCH_DOMAIN}:5000"
PAUSE = "registry.k8s.io/pause:3.10"
COREDNS = "docker.io/coredns/coredns:1.14.0"

_NAME = "BENCH"
_MARK = "This folder is Coalmine's bench. `make cluster-down` deletes it.\n"
_LONGEST = 60  # characters; sockets lie below, and a socket's path ends at 107


def _remove(folder: Path) -> None:
    """A folder with our mark, which goes last."""
    if (folder / _NAME).exists():
        for path in folder.iterdir():
            if path.name != _NAME:
                cache.remove(path)
        cache.remove(folder)


@dataclass(frozen=True, slots=True)
class Layout:
    """Names the files of a bench. `Layout.here()` is the one of this machine: `$COALMINE_BENCH`."""

    folder: Path

    @classmethod
    def here(cls) -> Self:
        """Raises BadInput if the folder's name is too long for sockets."""
        folder = Path(os.environ.get("COALMINE_BENCH") or "/var/tmp/coalmine-bench").absolute()
        if len(str(folder)) > _LONGEST:
            remedy = f"name a folder of at most {_LONGEST} characters"
            raise BadInput("too long a path for sockets below it", where=f"COALMINE_BENCH={folder}", remedy=remedy)
        return cls(folder)

    def make(self) -> None:
        """The folder with our mark in it. Raises BadInput rather than to claim a folder of somebody else."""
        _remove(self._gone)
        if not self.ours() and self.folder.exists() and any(self.folder.iterdir()):
            remedy = "name an empty folder, or one that is not there, in COALMINE_BENCH"
            raise BadInput("not a bench's folder, and not empty", where=str(self.folder), remedy=remedy)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self._mark.write_text(_MARK)  # first in and last out: whoever is killed in between, the folder is ours
        for path in (self.daemons, self.configs, self.cni, self.certs, self.logs, self.kubelet, self.plugins):
            path.mkdir(exist_ok=True)

    def delete(self) -> None:
        """The folder and all in it, if it is ours. Nothing may be mounted below it.

        It goes at once, under another name, and then file by file: half a store must not look like one.
        """
        _remove(self._gone)
        if self.ours():
            self.folder.rename(self._gone)
            _remove(self._gone)

    def ours(self) -> bool:
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self.folder / _NAME

    @property
    def _gone(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.gone")

    @property
    def plane(self) -> Path:
        return self.folder / "plane"

    @property
    def kubeconfig(self) -> Path:
        return self.plane / "admin.kubeconfig"

    @property
    def daemons(self) -> Path:
        return self.folder / "daemons"

    @property
    def configs(self) -> Path:
        return self.folder / "configs"

    @property
    def cni(self) -> Path:
        return self.folder / "cni"

    @property
    def certs(self) -> Path:
        """containerd's `certs.d`: one folder for each registry."""
        return self.folder / "certs.d"

    @property
    def logs(self) -> Path:
        return self.folder / "pods"

    @property
    def kubelet(self) -> Path:
        return self.folder / "kubelet"

    @property
    def plugins(self) -> Path:
        return self.folder / "plugins"

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "containerd.sock"

    @property
    def runtime(self) -> Path:
        """containerd's state: tasks, namespaces' mounts, runc's own."""
        return self.folder / "run"

    @property
    def store(self) -> Path:
        """containerd's root: images and snapshots."""
        return self.folder / "store"
