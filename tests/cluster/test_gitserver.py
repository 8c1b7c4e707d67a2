"""The bench's git server does what Argo CD and the closer need of a forge."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cluster.control import free_port
from cluster.gitserver import GitServer
from cluster.pki import Authority

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    server = GitServer(tmp_path / "git", Authority.at(tmp_path / "pki"), address="127.0.0.1", port=free_port())
    server.create()
    server.start()
    yield server
    server.stop()


def git(*words: str, server: GitServer, at: Path, user: str = "") -> subprocess.CompletedProcess[str]:
    own = {f"GIT_{who}_{what}": "b@bench.test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    own |= server.environment(user)
    line = ["git", *(word.replace("URL", server.url()) for word in words)]
    return subprocess.run(line, cwd=at, env=os.environ | own, capture_output=True, text=True, check=False)


def committed(server: GitServer, at: Path, *, size: int = 10) -> Path:
    clone = at / "clone"
    git("init", "-b", "main", "clone", server=server, at=at)
    (clone / "file").write_bytes(os.urandom(size))
    git("add", "file", server=server, at=clone)
    done = git("commit", "-m", "one", server=server, at=clone)
    assert done.returncode == 0, done.stderr
    return clone


@pytest.mark.parametrize("size", [10, 3_000_000], ids=["with a length", "in chunks"])
def test_what_was_pushed_with_a_token_is_cloned_without_one(server: GitServer, tmp_path: Path, size: int) -> None:
    clone = committed(server, tmp_path, size=size)
    pushed = git("push", "URL", "main", server=server, at=clone, user="closer")
    assert pushed.returncode == 0, pushed.stderr
    cloned = git("clone", "URL", "copy", server=server, at=tmp_path)
    assert cloned.returncode == 0, cloned.stderr
    assert (tmp_path / "copy" / "file").read_bytes() == (clone / "file").read_bytes()


def test_a_push_without_a_token_is_refused(server: GitServer, tmp_path: Path) -> None:
    clone = committed(server, tmp_path)
    server.token("closer")
    assert git("push", "URL", "main", server=server, at=clone).returncode != 0
    assert not git("ls-remote", "URL", server=server, at=clone).stdout


def test_the_pusher_reads_why_a_hook_refused(server: GitServer, tmp_path: Path) -> None:
    clone = committed(server, tmp_path)
    server.hook("#!/bin/sh\necho 'coalmine: refused: an unsigned image' >&2\nexit 1\n")
    pushed = git("push", "URL", "main", server=server, at=clone, user="closer")
    assert pushed.returncode != 0
    assert "remote: coalmine: refused: an unsigned image" in pushed.stderr
    server.hook("")
    assert git("push", "URL", "main", server=server, at=clone, user="closer").returncode == 0


def test_who_asked_is_told_of_a_push_as_github_tells(server: GitServer, tmp_path: Path) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    done = threading.Event()

    class Hear(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.append((self.headers["X-GitHub-Event"], body))
            self.send_response(200)
            self.end_headers()
            done.set()

    ear = HTTPServer(("127.0.0.1", 0), Hear)
    threading.Thread(target=ear.serve_forever, daemon=True).start()
    server.webhooks(f"http://127.0.0.1:{ear.server_port}/api/webhook")
    clone = committed(server, tmp_path)
    git("push", "URL", "main", server=server, at=clone, user="closer")
    assert done.wait(30)
    ear.shutdown()
    ear.server_close()
    event, body = heard[0]
    tip = git("rev-parse", "HEAD", server=server, at=clone).stdout.strip()
    assert (event, body["ref"], body["after"]) == ("push", "refs/heads/main", tip)
    assert body["repository"]["clone_url"] == server.url()  # by the name that Argo CD knows it by


def test_it_serves_the_same_repositories_after_a_restart(server: GitServer, tmp_path: Path) -> None:
    clone = committed(server, tmp_path)
    git("push", "URL", "main", server=server, at=clone, user="closer")
    server.stop()
    assert git("ls-remote", "URL", server=server, at=clone).returncode != 0
    server.start()
    assert "refs/heads/main" in git("ls-remote", "URL", server=server, at=clone).stdout
