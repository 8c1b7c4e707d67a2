"""nginx as a child process: find it, write what it reads, check, and the signals that it knows.

The supervisor starts it by `command(config)`; nothing here keeps a process.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from coalmine.edge.config import EdgeConfig
from coalmine.edge.render import render
from coalmine.edge.split import current_split, write_split
from coalmine.errors import BadInput, Missing
from coalmine.records import Slot, Split

_SBIN = "/usr/sbin:/usr/local/sbin:/sbin:/opt/homebrew/bin"  # not in an unprivileged user's PATH on Debian
_INSTALL = (
    ("apt-get", "sudo apt-get install -y nginx"),
    ("dnf", "sudo dnf install -y nginx"),
    ("apk", "sudo apk add nginx"),
    ("pacman", "sudo pacman -S --noconfirm nginx"),
    ("zypper", "sudo zypper install -y nginx"),
    ("brew", "brew install nginx"),
)
_CHECK_SECONDS = 20


def find_nginx(environ: Mapping[str, str] | None = None, *, also: str = _SBIN) -> str:
    """The program's path, looked for in PATH and then `also`. Raises Missing with the command that installs it here."""
    path = (os.environ if environ is None else environ).get("PATH", "")
    found = shutil.which("nginx", path=f"{path}:{also}" if also else path)
    if found:
        return found
    installers = [line for tool, line in _INSTALL if shutil.which(tool, path=path)]
    raise Missing("nginx is not installed", remedy=installers[0] if installers else "install nginx 1.20 or later")


def worker_user() -> str:
    """Whom the workers run as; empty: whoever starts nginx.

    Started by root, nginx gives its workers to `nobody`. They load the key at each handshake and look into the
    split's folder at each request, both of which are root's own: so they stay root, as everything of this runtime.
    """
    return pwd.getpwuid(0).pw_name if os.geteuid() == 0 else ""


def user_salt(folder: Path) -> str:
    """The secret that sticky keys are hashed with, made on first use: without it, the log's hashes could be guessed
    from a list of users, and a user could compute their own arm.
    """
    path = folder / "salt"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / "salt.new"
        new.touch(mode=0o600)
        new.write_text(secrets.token_hex(16), encoding="ascii")
        new.replace(path)
    return path.read_text(encoding="ascii").strip()


def prepare(config: EdgeConfig) -> None:
    """Make the folders, an empty split if there is none yet, and nginx.conf (0600: it holds the salt)."""
    for folder in (config.state, config.logs, config.access_log.parent, config.state / "temp"):
        folder.mkdir(parents=True, exist_ok=True)
    if config.fixed is None and current_split(config.split) is None:
        write_split(config.split, Split(epoch=0, primary_slot=Slot.BLUE, primary=None, canary=None, weight=0))
    new = config.conf.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(render(config), encoding="utf-8")
    new.replace(config.conf)


def command(config: EdgeConfig) -> list[str]:
    """What starts nginx in the foreground, as a child. `prepare` comes first."""
    return [find_nginx(), "-p", str(config.state), "-e", str(config.error_log), "-c", str(config.conf)]


def check(config: EdgeConfig) -> None:
    """Let nginx read the configuration. Raises BadInput with its own words."""
    done = subprocess.run(
        [*command(config), "-t", "-q"], capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False
    )
    if done.returncode != 0:
        raise BadInput(
            f"nginx refuses the configuration:\n{done.stderr.strip()}",
            where=str(config.conf),
            remedy="is a port taken, or a setting in coalmine.toml out of range?",
        )


def running(config: EdgeConfig) -> int | None:
    """The master's pid if the nginx of this state folder is alive: it outlives a killed supervisor."""
    try:
        pid = int(config.pid.read_text(encoding="ascii"))
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if str(config.conf).encode() in line else None  # a pid may be another's by now


def reopen_logs(config: EdgeConfig) -> bool:
    """After the log was moved away: go on in a new file. False if no nginx runs."""
    return _signal(config, signal.SIGUSR1)


def stop(config: EdgeConfig) -> bool:
    """Let requests in flight end, then exit (SIGQUIT). False if no nginx runs."""
    return _signal(config, signal.SIGQUIT)


def _signal(config: EdgeConfig, number: signal.Signals) -> bool:
    pid = running(config)
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
