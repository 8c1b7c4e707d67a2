"""What the bench needs of the system's package manager, and what to type when it is not there."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import Broken, Missing

_PATH = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])


@dataclass(frozen=True, slots=True)
class Need:
    """A file or a program by which a Debian package shows that it is installed. `why`: who asks for it."""

    package: str
    shown_by: str
    why: str

    def met(self) -> bool:
        if self.shown_by.startswith("/"):
            return Path(self.shown_by).exists()
        return bool(shutil.which(self.shown_by) or shutil.which(self.shown_by, path=_PATH))


BUILD = (
    Need("gcc", "gcc", "runc and the pause image are C"),
    Need("libc6-dev", "/usr/include/stdlib.h", "as gcc"),
    Need("libseccomp-dev", "/usr/include/seccomp.h", "runc"),
    Need("pkg-config", "pkg-config", "runc"),
)
NODE = (
    Need("etcd-server", "etcd", "the control plane's store"),
    Need("containernetworking-plugins", "/usr/lib/cni/bridge", "the pods' network"),
    Need("nftables", "nft", "kube-proxy"),
    Need("conntrack", "conntrack", "forgetting the connections of a bench that is gone"),
    Need("iproute2", "ip", "the bridge"),
    Need("mount", "umount", "volumes"),
)
IMAGES = (
    Need("buildah", "buildah", "images"),
    Need("debootstrap", "debootstrap", "the image that others build on"),
)
ALL = (*BUILD, *NODE, *IMAGES)


def lacking(needs: tuple[Need, ...] = ALL) -> list[Need]:
    """Those that are not met."""
    return [need for need in needs if not need.met()]


def check(needs: tuple[Need, ...] = ALL) -> None:
    """Raises Missing, naming every lacking package and the command that installs them all."""
    if missing := lacking(needs):
        what = "the bench lacks " + ", ".join(f"{need.package} ({need.why})" for need in missing)
        raise Missing(what, remedy="on Debian and Ubuntu: sudo " + " ".join(_line(missing)))


def obtainable() -> None:
    """Raises Missing where something lacks and `install` could not mend it."""
    if not _may_install():
        check()


def install() -> list[str]:
    """Install what is lacking where this may be done: as root on Debian or Ubuntu. Returns the packages' names.

    Raises Missing elsewhere, Broken when apt fails. Services that packages bring are not started.
    """
    missing = lacking()
    if not missing:
        return []
    if not _may_install():
        check()
    # RUNLEVEL=1: an installed etcd or redis must not start as a service; the bench runs its own.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for line in (["apt-get", "update", "-qq"], _line(missing)):
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Broken(f"{' '.join(line)} failed:\n{done.stderr.strip()[-600:]}")
    return [need.package for need in missing]


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _line(needs: list[Need]) -> list[str]:
    return ["apt-get", "install", "-y", "--no-install-recommends", *(need.package for need in needs)]
