"""The page on certbot, typed: a real certbot, a real ACME server, and the runtime between them."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
import pytest
from cryptography import x509

from coalmine.edge import process as nginx
from coalmine.edge.config import from_settings
from coalmine.local import up
from coalmine.local.scene import free_base
from coalmine.settings import Settings, load
from e2e.acme import Acme, server
from e2e.snippets import Block, Shell, blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "certbot.md"
NAME = "models.example.org"  # the page's

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(slots=True)
class Machine:
    """A clone with a runtime, a shell in it, and the authority that certbot is sent to."""

    settings: Settings
    shell: Shell
    acme: Acme

    def type(self, block: Block) -> None:
        for command in block.commands:
            code, said = self.shell.run(command)
            assert code == 0, f"$ {command}\n{said}"

    def write(self, block: Block) -> None:
        """Loopback only; the ports come from the environment, which wins over the page's."""
        (self.settings.project / "coalmine.toml").write_text(block.text.replace("0.0.0.0", "127.0.0.1"))

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.acme.root))

    def serial(self) -> int:
        """Of the certificate that a new handshake gets, once name and chain have held."""
        port = self.settings.ports.https
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
            self.trust().wrap_socket(plain, server_hostname=NAME) as secure,
        ):
            der = secure.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number

    def processes(self) -> set[int]:
        """nginx: the master and its workers. A reload would bring new workers."""
        master = nginx.running(from_settings(self.settings))
        assert master is not None
        return {master, *(child.pid for child in psutil.Process(master).children())}

    def proofs(self) -> int:
        """How often the authority has fetched a proof from nginx."""
        lines = [json.loads(line) for line in self.settings.access_log.read_text(encoding="utf-8").splitlines()]
        return sum(line["path"].startswith("/.well-known/acme-challenge/") and line["status"] == 200 for line in lines)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COALMINE_ST")}
    environ |= {"COALMINE_PORT_BASE": str(free_base(24443))}
    settings = load(project=checkout, environ=environ)
    with server(tmp_path, asks_at=settings.ports.http) as acme:
        ini = tmp_path / "config" / "letsencrypt" / "cli.ini"  # what certbot reads besides its arguments
        ini.parent.mkdir(parents=True)
        ini.write_text(f"server = {acme.directory}\n")
        environ |= {"XDG_CONFIG_HOME": str(tmp_path / "config"), "REQUESTS_CA_BUNDLE": str(acme.trust)}
        environ |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        shell = Shell(checkout, environ)
        try:
            yield Machine(settings, shell, acme)
        finally:
            shell.close()
            up.down(settings)


@dataclass(slots=True)
class Client:
    """Asks without a pause until it is told to stop: on one connection, or on a new one each time."""

    machine: Machine
    reconnect: bool
    answers: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join(30)

    def _run(self) -> None:
        connection = _Named(self.machine)
        while not self._done.wait(0.01):
            try:
                connection.request("POST", "/predict", body=b"{}")
                answer = connection.getresponse()
                answer.read()
                self.answers.append(answer.status)
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
            if self.reconnect:
                connection.close()
        connection.close()

    def wait(self, answers: int) -> None:
        goal, deadline = len(self.answers) + answers, time.monotonic() + 60
        while len(self.answers) < goal:
            assert time.monotonic() < deadline, self.lost
            time.sleep(0.01)


class _Named(http.client.HTTPSConnection):
    """To this machine, under the name that only the test's own resolver knows."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(NAME, machine.settings.ports.https, timeout=20)
        self._machine = machine

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.sock = self._machine.trust().wrap_socket(plain, server_hostname=NAME)


def test_a_certificate_is_issued_and_renewed_without_a_reload_or_a_lost_request(machine: Machine) -> None:
    """As documented, word for word; between the two the certificate is made to look as if it were due."""
    first, second = blocks(PAGE, "toml")
    issue, restart, renew = blocks(PAGE, "console")
    machine.write(first)
    machine.type(issue)
    assert machine.proofs() > 0
    machine.write(second)
    machine.type(restart)
    issued, before, proofs = machine.serial(), machine.processes(), machine.proofs()
    machine.type(renew)
    assert machine.serial() == issued, "it was not due yet"
    _make_it_due(machine.settings.state / "certbot" / "renewal" / f"{NAME}.conf")
    with Client(machine, reconnect=False) as kept, Client(machine, reconnect=True) as fresh:
        fresh.wait(20)
        machine.type(renew)
        deadline = time.monotonic() + 60
        while machine.serial() == issued:
            assert time.monotonic() < deadline, "the renewed certificate is not served"
        kept.wait(20)
        fresh.wait(20)
    assert (kept.lost, fresh.lost) == ([], [])
    assert set(kept.answers + fresh.answers) == {503}, "nothing is released here: the edge itself answers"
    assert machine.processes() == before
    assert machine.proofs() > proofs


def _make_it_due(renewal: Path) -> None:
    """Certbot renews what has less than this left."""
    text, found = re.subn(r"(?m)^# renew_before_expiry = .*$", "renew_before_expiry = 365 days", renewal.read_text())
    assert found == 1
    renewal.write_text(text)
