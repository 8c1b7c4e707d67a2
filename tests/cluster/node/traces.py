"""What a bench leaves on a machine while it runs, found again without anybody's memory, and its removal."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from cluster import network
from cluster.node import cgroups, mounts
from cluster.node.layout import Layout

_LOG_LINKS = Path("/var/log/containers")  # the kubelet's links to pods' logs, wherever those lie
_DEVICES = Path("/var/lib/kubelet/device-plugins")  # its one folder that no flag moves

_RUN = (Path("/run/containerd/s"), Path("/run/containerd"))  # shims' sockets, likewise


@dataclass(frozen=True, slots=True)
class Trace:
    """One thing that is there: `kind` is process, mount, interface, table, cgroup or file."""

    kind: str
    name: str


def found(layout: Layout) -> list[Trace]:
    """All that the bench has on this machine now, besides its own folder. Empty: as if it had never run."""
    ours = network.ours(layout)
    seen = {
        "process": [f"{pid} {_command(pid)}" for pid in sorted(processes(layout))],
        "mount": [str(path) for path in mounts.below(layout.folder)],
        "interface": [*network.ports(), *network.bridges()] if ours else [],
        "table": [" ".join(table) for table in network.tables()] if ours else [],
        "cgroup": [str(path) for path in cgroups.groups()],
        "file": [str(path) for path in _files(layout)],
    }
    return [Trace(kind, name) for kind, names in seen.items() for name in names]


def processes(layout: Layout) -> set[int]:
    """What runs in the bench's cgroup, and what its pid files name."""
    return cgroups.members() | {pid for pid in map(_living, layout.folder.glob("*/*.pid")) if pid}


def remove_files(layout: Layout) -> None:
    """What engines put where no flag moves it. Call it before the folder goes: that says what is ours."""
    for path in _files(layout):
        path.unlink(missing_ok=True)
    if not layout.ours():
        return
    for folder in (_DEVICES, _DEVICES.parent, _LOG_LINKS, network.results_folder(), *_RUN):
        with contextlib.suppress(OSError):  # not empty, so another's; or not there
            folder.rmdir()


def _files(layout: Layout) -> list[Path]:
    files = [*_dead_sockets(layout), *network.results()]
    if _LOG_LINKS.is_dir():
        files += [link for link in _LOG_LINKS.iterdir() if link.is_symlink() and _within(link, layout.folder)]
    if layout.ours() and _DEVICES.is_dir():
        files += [path for path in _DEVICES.iterdir() if path.name in {"kubelet.sock", "kubelet_internal_checkpoint"}]
    return files


def _dead_sockets(layout: Layout) -> list[Path]:
    """Shims listen below /run/containerd whatever containerd's own folder is, and one that is killed leaves its socket.

    Whose it was cannot be told afterwards; that nobody listens on it can, and then it is of no use to anybody.
    """
    folder = _RUN[0]
    if not (layout.ours() and folder.is_dir()):
        return []
    listening = {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()}
    return sorted(path for path in folder.iterdir() if path.is_socket() and str(path) not in listening)


def _within(link: Path, folder: Path) -> bool:
    return link.readlink().is_relative_to(folder)


def _living(file: Path) -> int:
    """The process of a pid file (its number and its start in ticks), or 0."""
    try:
        pid, started = file.read_text().split()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return 0
    return int(pid) if fields[0] not in {"Z", "X"} and fields[19] == started else 0


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120]
    except OSError:
        return "?"
