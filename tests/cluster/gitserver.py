"""The bench's git server: what a forge is to Argo CD and the closer. Smart HTTP over TLS, push by token, webhooks.

Reading is free; pushing takes one of the tokens. Hooks in the repository check a push as a forge's required check does.
"""

from __future__ import annotations

import json
import secrets
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx

from cluster.control_daemon import Daemon
from cluster.pki import Authority, write_private
from coalmine.errors import Broken

NAME = "git.bench.test"
ADDRESS = "198.18.0.1"
PORT = 443
READY_SECONDS = 30.0


class GitServer:
    """A server of the bare repositories in `folder`; `start` and `stop` may be called by different processes."""

    def __init__(self, folder: Path, authority: Authority, *, address: str = ADDRESS, port: int = PORT) -> None:
        self.folder = folder
        self.authority = authority
        self.address = address
        self.port = port
        self.daemon = Daemon("gitserver", folder)

    def url(self, name: str = "coalmine", *, at: str = NAME) -> str:
        """Of a repository, as pods know it; `at` the address for who cannot resolve the bench's names."""
        port = "" if self.port == 443 else f":{self.port}"
        return f"https://{at}{port}/{name}.git"

    def start(self) -> None:
        """Return when it answers. Raises Broken with the log's end if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = (NAME, self.address, "127.0.0.1")
        self.authority.issue("git", common_name=NAME, hosts=names, folder=self.folder)
        program = [sys.executable, "-m", "cluster.gitserver_http", str(self.folder), self.address, str(self.port)]
        path = f"PYTHONPATH={Path(__file__).parents[1]}"
        self.daemon.start(["/usr/bin/env", path, *program])
        self._wait()

    def stop(self) -> None:
        self.daemon.stop()

    def create(self, name: str = "coalmine") -> Path:
        """A bare repository that may be pushed to by token; one that is there stays."""
        path = self.folder / f"{name}.git"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(path)], check=True)
        subprocess.run(["git", "-C", str(path), "config", "http.receivepack", "true"], check=True)
        return path

    def hook(self, script: str, *, name: str = "coalmine", kind: str = "pre-receive") -> None:
        """Install a hook: a program's whole text; an empty one removes it."""
        path = self.folder / f"{name}.git" / "hooks" / kind
        path.unlink(missing_ok=True)
        if script:
            path.parent.mkdir(exist_ok=True)
            path.write_text(script)
            path.chmod(0o755)

    def token(self, user: str) -> str:
        """The password with which `user` may push; made on first use."""
        file = self.folder / "tokens.json"
        tokens: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if user not in tokens:
            tokens[user] = secrets.token_urlsafe(24)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_private(file, json.dumps(tokens).encode())
        return tokens[user]

    def webhooks(self, *urls: str) -> None:
        """Who is told of a push to `main`, with a body as GitHub's; replaces those told so far."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "webhooks.json").write_text(json.dumps(urls))

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        trust = ssl.create_default_context(cafile=str(self.authority.certificate))
        with httpx.Client(verify=trust, trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                self.daemon.check()
                try:
                    client.get(f"https://{self.address}:{self.port}/")
                except httpx.TransportError:
                    time.sleep(0.05)  # not listening yet
                else:
                    return
        raise Broken(f"the git server does not answer\n{self.daemon.tail()}", where=str(self.daemon.log))
