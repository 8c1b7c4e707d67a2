"""A PostgreSQL server of the test's own: in a temporary folder, on a Unix socket, as an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg


@dataclass
class Server:
    """`url(name)` is a new, empty database."""

    folder: Path
    made: list[str] = field(default_factory=list)

    def url(self, name: str) -> str:
        with psycopg.connect(host=str(self.folder), user="judge", dbname="postgres", autocommit=True) as link:
            link.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://judge@/{name}?host={self.folder}"


def programs() -> Path:
    """Where initdb and pg_ctl are: Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("pg_ctl")
    if not found and on_path is None:
        raise AssertionError("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1].parent if found else Path(str(on_path)).parent


@contextmanager
def server() -> Iterator[Server]:
    """Started for the test, and stopped and removed after it."""
    folder = Path(tempfile.mkdtemp(prefix="judge-pg-"))
    data = folder / "data"
    user = _user()
    if user is not None:
        shutil.chown(folder, user)
    options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=40"
    try:
        _run(user, "initdb", "-D", str(data), "-U", "judge", "-A", "trust", "-E", "UTF8", "--no-sync")
        _run(user, "pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        yield Server(folder)
    finally:
        if (data / "postmaster.pid").exists():
            _run(user, "pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


def _user() -> str | None:
    """PostgreSQL refuses to run as root; anybody else runs it as themselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _run(user: str | None, program: str, *arguments: str) -> None:
    done = subprocess.run(
        [str(programs() / program), *arguments],
        user=user,
        group=None if user is None else pwd.getpwnam(user).pw_gid,
        extra_groups=None if user is None else [],
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
