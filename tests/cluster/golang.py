"""Programs and modules by the Go toolchain, from the Go module proxy. Its caches live in the bench's cache folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cluster import cache
from coalmine.errors import Broken, Missing

WANTED = (1, 26)
PLACES = "/usr/local/go/bin:/usr/lib/go/bin"  # where Go's own installers put it, PATH or not
EVERY_SECONDS = 20.0  # between two lines of progress


@dataclass(frozen=True, slots=True)
class Engine:
    """One program: where its source is, and how it is built.

    `stamps` are the variables that hold its version (`-X name=value`), without which it says that it has none.
    `borrowed` is for modules that cannot be built from outside as they are: their go.mod replaces modules by folders
    of their own tree. Each such module (a prefix ending in `/` means all below it) is taken at the version given.
    """

    module: str
    version: str
    package: str = ""
    stamps: dict[str, str] = field(default_factory=dict)
    tags: str = ""
    cgo: bool = False
    borrowed: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The package's import path."""
        return f"{self.module}/{self.package}" if self.package else self.module

    def recipe(self) -> str:
        """All that decides what is built, besides the Go compiler."""
        return json.dumps(asdict(self), sort_keys=True)

    def lender(self, path: str) -> str:
        """The version at which the module `path` is borrowed, or an empty string."""
        at = [v for name, v in self.borrowed.items() if path == name or (name.endswith("/") and path.startswith(name))]
        return at[0] if at else ""


def build(name: str, engine: Engine, *, into: Path) -> None:
    """Build `engine` as the file `into`. Takes minutes when cold; says on stderr how far it is.

    Raises Missing without Go, a C compiler or a library, Broken with the compiler's last lines.
    """
    with tempfile.TemporaryDirectory(prefix=f"go-{name}-") as scratch:
        _write_module(engine, folder=Path(scratch))
        stamps = [f"-X {variable}={value}" for variable, value in engine.stamps.items()]
        line = [*_polite(), command(), "build", "-v", "-mod=mod", "-p", "2", "-ldflags", " ".join(["-s -w", *stamps])]
        tags = ["-tags", engine.tags] if engine.tags else []
        environment = _environment() | {"CGO_ENABLED": "1" if engine.cgo else "0"}
        _watched(name, [*line, *tags, "-o", str(into), engine.path], folder=Path(scratch), environment=environment)


def download(module: str, version: str) -> Path:
    """The folder with the module's source, fetched on first use. Raises Missing without Go, Broken if it is refused."""
    folder = cache.folder() / "go" / "path" / "pkg" / "mod" / f"{_escaped(module)}@{version}"
    return folder if folder.is_dir() else Path(_fetched(module, version)["Dir"])


def _write_module(engine: Engine, *, folder: Path) -> None:
    """A module of our own that requires the engine's, with what the engine's go.mod requires and replaces."""
    (folder / "go.mod").write_text(f"module bench\n\ngo {WANTED[0]}.{WANTED[1]}.0\n")
    edits = [f"-require={engine.module}@{engine.version}"]
    if engine.borrowed:
        theirs = json.loads(_run([command(), "mod", "edit", "-json", _fetched(engine.module, engine.version)["GoMod"]]))
        edits += [f"-require={r['Path']}@{r['Version']}" for r in theirs["Require"] if r["Version"] != "v0.0.0"]
        edits += _replaced(engine, theirs)
    _run([command(), "mod", "edit", *edits], folder=folder)


def _replaced(engine: Engine, theirs: dict[str, Any]) -> list[str]:
    edits = []
    for rule in theirs.get("Replace") or []:
        old, new = rule["Old"]["Path"], rule["New"]
        at = engine.lender(old)
        target = f"{old}@{at}" if at else f"{new['Path']}@{new.get('Version', '')}".rstrip("@")
        edits.append(f"-replace={old}={target}")
    return edits


def _watched(name: str, line: list[str], *, folder: Path, environment: dict[str, str]) -> None:
    """Run a build; count the packages that it names and say so now and then."""
    started = said = time.monotonic()
    lines: list[str] = []
    _say(f"{name}: building")
    with subprocess.Popen(line, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            for text in process.stderr or ():
                lines.append(text.rstrip())
                if time.monotonic() - said > EVERY_SECONDS:
                    said = time.monotonic()
                    _say(f"{name}: {len(lines)} packages and downloads, {said - started:.0f} s")
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise _explained(name, lines)
    _say(f"{name}: built in {time.monotonic() - started:.0f} s")


def _explained(name: str, lines: list[str]) -> Exception:
    text = "\n".join(lines[-12:])
    if "libseccomp" in text or "pkg-config" in text:
        remedy = "on Debian and Ubuntu: sudo apt-get install gcc libseccomp-dev pkg-config"
        return Missing(f"{name} needs libseccomp's headers:\n{text}", remedy=remedy)
    return Broken(f"{name} did not build:\n{text}", remedy="see the compiler's lines; a network and 10 GB of disk?")


def _fetched(module: str, version: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="go-mod-") as scratch:
        line = [command(), "mod", "download", "-json", f"{module}@{version}"]
        answer = subprocess.run(line, cwd=scratch, env=_environment(), capture_output=True, text=True, check=False)
    said: dict[str, str] = json.loads(answer.stdout or "{}")
    if answer.returncode or "Dir" not in said:
        raise Broken(f"{module}@{version} cannot be had: {said.get('Error') or answer.stderr.strip()}")
    return said


def _run(line: list[str], *, folder: Path | None = None) -> str:
    answer = subprocess.run(line, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    if answer.returncode:
        raise Broken(f"{' '.join(line[:4])} failed: {answer.stderr.strip()[-600:]}")
    return answer.stdout


def command() -> str:
    """The Go command, new enough. Raises Missing."""
    remedy = f"install Go {WANTED[0]}.{WANTED[1]} or newer from https://go.dev/dl/ and put it on the PATH"
    found = shutil.which("go") or shutil.which("go", path=PLACES)
    if not found:
        raise Missing("the bench's engines are built by Go, which is not on the PATH", remedy=remedy)
    said = subprocess.run(
        [found, "env", "GOVERSION"], env=_environment(), capture_output=True, text=True, check=False
    ).stdout.strip()
    version = tuple(int(part) for part in said.removeprefix("go").split(".")[:2] if part.isdigit())
    if version < WANTED:
        raise Missing(f"{found} is {said or 'broken'}, too old for these engines", remedy=remedy)
    return found


def _environment() -> dict[str, str]:
    """Ours for Go: its own caches, no other toolchain fetched behind our back, modules that `rm -rf` can delete."""
    there = cache.folder() / "go"
    ours = {
        "GOPATH": str(there / "path"),
        "GOCACHE": str(there / "build"),
        "GOFLAGS": "-modcacherw -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GO111MODULE": "on",
    }
    kept = {k: v for k, v in os.environ.items() if k not in {"GOBIN", "GOOS", "GOARCH", "GOMODCACHE"}}
    return kept | ours


def _polite() -> list[str]:
    """A build takes minutes of every core: whatever runs beside it (tests, a cluster) goes first."""
    nice = shutil.which("nice")
    return [nice, "-n", "19"] if nice else []


def _escaped(module: str) -> str:
    """A module's path as the module cache spells it: capitals become `!` and the small letter."""
    return "".join(f"!{c.lower()}" if c.isupper() else c for c in module)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
