"""The bench's network: a bridge with the machine's address on it, and what kube-proxy leaves behind.

All of it is 198.18.0.0/15, which is kept for benchmarks: no packet of the bench has business outside this machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from cluster.node.layout import ADDRESS, PODS, REAL_PODS, SERVICES, Layout
from coalmine.errors import BadInput, Broken

BRIDGE = "coalmine0"
NETWORK = "coalmine-bench"  # CNI's name for it
PLUGINS = Path("/usr/lib/cni")
TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"))
_RESULTS = Path("/var/lib/cni/results")  # where CNI keeps what it did, whatever the configuration says
_SYSCTLS = {
    "net.ipv4.ip_forward": "1",  # pods reach services through the machine
    "net.bridge.bridge-nf-call-iptables": "1",  # answers between two pods of the bridge are translated back
}
# The kubelet changes these to what it wants; they are put back with ours.
_KUBELETS = (
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
)


def make(layout: Layout) -> None:
    """Create the bridge, its address and routes, and CNI's configuration. Raises BadInput if another bench has them."""
    owner = _owner()
    if owner is None:
        _ip("link", "add", BRIDGE, "type", "bridge")
        owner = ""
    if not owner:
        _ip("link", "set", BRIDGE, "alias", str(layout.folder))
        # A bridge takes the least address of its ports, so it would change with the pods; a set one stays.
        _ip("link", "set", BRIDGE, "address", "02:00:c6:12:00:01")
    elif owner != str(layout.folder):
        remedy = f"stop that one first: COALMINE_BENCH={owner} make cluster-down"
        raise BadInput("another bench has this machine's bridge", where=owner, remedy=remedy)
    _ip("address", "replace", f"{ADDRESS}/{PODS.split('/')[1]}", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    # Without it a service's address would need a default route, and packets would start with another network's source.
    _ip("route", "replace", SERVICES, "dev", BRIDGE, "src", ADDRESS)
    _set_sysctls(layout)
    (layout.cni / "10-bench.conflist").write_text(json.dumps(_configuration(layout), indent=1))


def remove(layout: Layout) -> None:
    """Delete what `make`, CNI and kube-proxy made; nothing of it need be there."""
    if ours(layout):
        for family, table in tables():
            _run("nft", "delete", "table", family, table, missing_ok=True)
        # A new pod may get an old one's address, and must not get its connections.
        for side in ("--orig-src", "--orig-dst"):
            for network in (PODS, SERVICES):
                _run("conntrack", "-D", side, network, missing_ok=True)
        for path in results():
            path.unlink(missing_ok=True)
        for port in ports():
            _ip("link", "delete", port, missing_ok=True)
        _ip("link", "delete", BRIDGE, missing_ok=True)  # last: it says whose all this is
    _restore_sysctls(layout)


def ours(layout: Layout) -> bool:
    """Whether this machine's bridge is this bench's. One without an owner is of a bench killed in that very moment."""
    return _owner() in {"", str(layout.folder)}


def ports() -> list[str]:
    """The machine's ends of the pods' interfaces."""
    return [str(link["ifname"]) for link in _links("master", BRIDGE)]


def bridges() -> list[str]:
    return [str(link["ifname"]) for link in _links("dev", BRIDGE)]


def tables() -> list[tuple[str, str]]:
    """kube-proxy's tables, of those that there are."""
    listed = _run("nft", "list", "tables", missing_ok=True)
    return [(family, name) for family, name in TABLES if f"table {family} {name}" in listed.splitlines()]


def results() -> list[Path]:
    """CNI's records of this network."""
    return sorted(_RESULTS.glob(f"{NETWORK}-*")) if _RESULTS.is_dir() else []


def results_folder() -> Path:
    return _RESULTS


def _configuration(layout: Layout) -> dict[str, object]:
    addresses = {"subnet": PODS, "rangeStart": REAL_PODS[0], "rangeEnd": REAL_PODS[1], "gateway": ADDRESS}
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "hairpinMode": True,  # a pod may reach itself through its service
        "ipam": {
            "type": "host-local",
            "dataDir": str(layout.folder / "addresses"),
            "ranges": [[addresses]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "1.0.0", "name": NETWORK, "plugins": [bridge]}


def _owner() -> str | None:
    """The folder of the bench whose bridge this is; None without a bridge."""
    links = _links("dev", BRIDGE)
    return str(links[0].get("ifalias", "")) if links else None


def _links(*which: str) -> list[dict[str, object]]:
    said = _ip("-json", "link", "show", *which, missing_ok=True)
    links: list[dict[str, object]] = json.loads(said or "[]")
    return [link for link in links if link]  # an empty object stands for each that does not match


def _set_sysctls(layout: Layout) -> None:
    kept = layout.folder / "sysctls.json"
    if not kept.exists():
        before = {name: _sysctl(name).read_text().strip() for name in (*_SYSCTLS, *_KUBELETS) if _sysctl(name).exists()}
        kept.write_text(json.dumps(before))
    for name, value in _SYSCTLS.items():
        if _sysctl(name).exists():
            _sysctl(name).write_text(value)


def _restore_sysctls(layout: Layout) -> None:
    kept = layout.folder / "sysctls.json"
    if kept.exists():
        for name, value in json.loads(kept.read_text()).items():
            if _sysctl(name).read_text().strip() != value:
                _sysctl(name).write_text(value)
        kept.unlink()


def _sysctl(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _ip(*words: str, missing_ok: bool = False) -> str:
    return _run("ip", *words, missing_ok=missing_ok)


def _run(*line: str, missing_ok: bool = False) -> str:
    program = shutil.which(line[0]) or shutil.which(line[0], path="/usr/sbin:/sbin")
    if program is None:
        if missing_ok:
            return ""
        raise Broken(f"{line[0]} is not there any more")
    done = subprocess.run([program, *line[1:]], capture_output=True, text=True, check=False)
    if done.returncode and not missing_ok:
        raise Broken(f"{' '.join(line)}: {done.stderr.strip()}")
    return done.stdout
