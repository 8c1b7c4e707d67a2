"""`git http-backend` under a small HTTPS server: `python -m cluster.gitserver_http <folder> <address> <port> <URL>`."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hmac
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import httpx

MAIN = "refs/heads/main"
_TRIES = 5
_PATIENCE = 120.0  # seconds without a byte from a client


class Server(ThreadingHTTPServer):
    """Serves the bare repositories in `folder`. TLS is spoken in each request's own thread: a slow one waits alone."""

    daemon_threads = True

    def __init__(self, folder: Path, address: tuple[str, int], base: str) -> None:
        self.folder = folder
        self.base = base  # what it is called in webhooks, by whichever address a push came
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(folder / "git.crt", folder / "git.key")
        super().__init__(address, Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(_PATIENCE)
        with self._tls.wrap_socket(request, server_side=True) as secured:
            Handler(secured, client_address, self)
            # An answer without a length ends with the connection: the client wants to be told that this is its end.
            with contextlib.suppress(OSError):
                secured.unwrap()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class names them
        """One line: a client that goes away is no event."""
        sys.stderr.write(f"{client_address}: {sys.exc_info()[1]}\n")


class Handler(BaseHTTPRequestHandler):
    """One request: who may push is decided here, everything else by git."""

    server: Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        repository = self.server.folder / parts.path.split("/")[1]
        pushing = "git-receive-pack" in f"{parts.path} {parts.query}"
        if repository.suffix != ".git" or not repository.is_dir():
            self.send_error(404)
            return
        user = self._user()
        if pushing and not user:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="push"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        before = _tip(repository)
        with tempfile.TemporaryFile() as body:
            length = self._spool(body)
            self._backend(body, self._environment(parts.path, parts.query, user=user, length=length))
        if pushing and self.command == "POST":
            _announce(self.server.folder, repository, before=before, base=self.server.base)

    def _user(self) -> str:
        """Whose token came with the request, or an empty string."""
        kind, _, word = self.headers.get("Authorization", "").partition(" ")
        file = self.server.folder / "tokens.json"
        if kind.lower() != "basic" or not file.exists():
            return ""
        try:
            user, _, password = base64.b64decode(word).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return ""
        wanted = json.loads(file.read_text()).get(user, "")
        return user if wanted and hmac.compare_digest(wanted.encode(), password.encode()) else ""

    def _spool(self, body: IO[bytes]) -> int:
        """The request's body as a file: git reads all of it before it answers, and needs its length."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body.write(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        else:
            body.write(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        length = body.tell()
        body.seek(0)
        return length

    def _environment(self, path: str, query: str, *, user: str, length: int) -> dict[str, str]:
        """What CGI (RFC 3875) and git want; nothing of the user's own git."""
        given = {
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": user,
        }
        return {name: value for name, value in given.items() if value} | {
            "PATH": os.environ["PATH"],
            "HOME": str(self.server.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(length),
            "REMOTE_ADDR": str(self.client_address[0]),
            "SERVER_PROTOCOL": "HTTP/1.0",
        }

    def _backend(self, body: IO[bytes], environment: Mapping[str, str]) -> None:
        with subprocess.Popen(["git", "http-backend"], stdin=body, stdout=subprocess.PIPE, env=environment) as git:
            assert git.stdout is not None
            status, headers = 200, []
            while line := git.stdout.readline().strip():
                name, _, value = line.decode().partition(": ")
                if name == "Status":
                    status = int(value.split()[0])
                else:
                    headers.append((name, value))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            shutil.copyfileobj(git.stdout, self.wfile)


def _tip(repository: Path) -> str:
    line = ["git", "-c", "safe.directory=*", "-C", str(repository), "rev-parse", "--verify", "--quiet", MAIN]
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()


def _announce(folder: Path, repository: Path, *, before: str, base: str) -> None:
    """Tell those who asked that main moved, as a forge does: after the push, in nobody's way."""
    after, file = _tip(repository), folder / "webhooks.json"
    if after == before or not file.exists():
        return
    page = f"{base}/{repository.stem}"
    body = {
        "ref": MAIN,
        "before": before or "0" * 40,
        "after": after,
        "repository": {"html_url": page, "clone_url": f"{page}.git", "default_branch": "main"},
        "commits": [],
    }
    for url in json.loads(file.read_text()):
        threading.Thread(target=_tell, args=(url, body), daemon=True).start()


def _tell(url: str, body: object) -> None:
    headers = {"X-GitHub-Event": "push"}
    transport = httpx.HTTPTransport(verify=False, retries=_TRIES)  # the bench's own, on this machine
    with httpx.Client(transport=transport, timeout=10, trust_env=False) as client:
        try:
            answer = client.post(url, json=body, headers=headers)
            sys.stderr.write(f"told {url}: {answer.status_code}\n")
        except httpx.HTTPError as error:
            sys.stderr.write(f"could not tell {url}: {error}\n")
        sys.stderr.flush()


def main() -> None:
    """Serve until told to stop."""
    folder, address, port, base = sys.argv[1:]
    Server(Path(folder), (address, int(port)), base).serve_forever()


if __name__ == "__main__":
    main()
