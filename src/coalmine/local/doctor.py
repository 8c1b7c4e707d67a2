"""What this machine lacks: each finding with what to type. `coalmine doctor`, and the first thing `up` does."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import Missing
from coalmine.settings import Settings

PACKAGES = ("bentoml", "cryptography", "fastapi", "matplotlib", "mlflow", "psutil", "requests", "scipy", "sklearn")
NEEDED_DISK = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `remedy` is empty where all is well."""

    what: str
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return not self.remedy


def program(name: str) -> str | None:
    """Where a program is: on the PATH, or where Debian keeps what only root usually runs."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


def _install(package: str) -> str:
    if shutil.which("apt-get"):
        return f"sudo apt-get update && sudo apt-get install {package}"
    if shutil.which("dnf"):
        return f"sudo dnf install {package}"
    if shutil.which("brew"):
        return f"brew install {package}"
    return f"install {package} with your system's package manager"


def examine(settings: Settings, *, ports: bool = True) -> list[Finding]:
    """Look at all that the one-machine runtime needs. With `ports`, also whether they are free."""
    version = ".".join(map(str, sys.version_info[:3]))
    findings = [Finding("Python", version, "" if sys.version_info >= (3, 11) else "install Python 3.11 or later")]
    for name in ("git", "nginx"):
        where = program(name)
        findings.append(Finding(name, where or "not found", "" if where else _install(name)))
    lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    findings.append(
        Finding("packages", ", ".join(lacking) or "all there", "pip install 'coalmine[local]'" if lacking else "")
    )
    findings.append(_disk(settings.state))
    if ports:
        findings += [_port(name, number) for name, number in settings.ports.model_dump().items()]
    return findings


def _disk(state: Path) -> Finding:
    folder = next(parent for parent in (state, *state.parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    remedy = "" if free > NEEDED_DISK else f"free some room under {folder}, or choose another folder with --state"
    return Finding("disk", f"{free / 1024**3:.1f} GiB free", remedy)


def _port(name: str, number: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            remedy = f"end what listens there, or set ports.{name} in coalmine.toml"
            return Finding(f"port {number} ({name})", error.strerror or str(error), remedy)
    return Finding(f"port {number} ({name})", "free")


def demand(settings: Settings) -> None:
    """Raise Missing, with every remedy at once, where something is lacking."""
    wrong = [finding for finding in examine(settings) if not finding.ok]
    if wrong:
        raise Missing(
            "; ".join(f"{finding.what}: {finding.found}" for finding in wrong),
            remedy="\n          ".join(dict.fromkeys(finding.remedy for finding in wrong)),
        )
