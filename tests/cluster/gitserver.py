"""The bench's git server: what a forge is to Argo CD and the closer. Smart HTTP over TLS, push by token, webhooks.

Reading is free; pushing takes one of the tokens. Hooks in the repository check a push as a forge's required check does.
"""

from __future__ import annotations

import base64
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
READY_SECONDS = 120.0


class GitServer:
    """A server of the bare repositories in `folder`; `start` and `stop` may be called by different processes."""

    def __init__(self, folder: Path, authority: Authority, *, address: str = ADDRESS, port: int = PORT) -> None:
        self.folder = folder
        self.authority = authority
        self.address = address
        self.port = port
        self.daemon = Daemon("gitserver", folder)

    def url(self, name: str = "coalmine") -> str:
        """Of a repository, as pods know it; see `environment` for who cannot resolve the bench's names."""
        return f"{self._base(NAME)}/{name}.git"

    def _base(self, host: str) -> str:
        return f"https://{host}" if self.port == 443 else f"https://{host}:{self.port}"

    def start(self) -> None:
        """Return when it answers. Raises Broken with the log's end if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = (NAME, self.address, "127.0.0.1")
        self.authority.issue("git", common_name=NAME, hosts=names, folder=self.folder)
        module = [
            "/usr/bin/env",
            f"PYTHONPATH={Path(__file__).parents[1]}",
            sys.executable,
            "-m",
            "cluster.gitserver_http",
        ]
        self.daemon.start([*module, str(self.folder), self.address, str(self.port), self._base(NAME)])
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

    def environment(self, user: str = "") -> dict[str, str]:
        """What lets git, on this machine, reach the server by the name that pods use, and push as `user`.

        It is no argument of git's, for those are read by everybody.
        """
        config = self.configuration(user)
        numbered = enumerate(config.items())
        pairs = {
            f"GIT_CONFIG_{kind}_{n}": v for n, item in numbered for kind, v in zip(("KEY", "VALUE"), item, strict=True)
        }
        return {
            "GIT_CONFIG_COUNT": str(len(config)),
            "GIT_SSL_CAINFO": str(
                self.authority.certificate
            ),  # a machine may have one set, and it beats the configuration
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **pairs,
        }

    def configuration(self, user: str = "") -> dict[str, str]:
        """The same as a clone's own configuration, for programs that take none from their environment."""
        config = {f"url.{self._base(self.address)}/.insteadOf": f"{self._base(NAME)}/"}
        config["http.sslCAInfo"] = str(self.authority.certificate)
        if user:
            word = base64.b64encode(f"{user}:{self.token(user)}".encode()).decode()
            config["http.extraHeader"] = f"Authorization: Basic {word}"
        return config

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
