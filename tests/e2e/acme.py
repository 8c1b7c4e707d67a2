"""Pebble, a real ACME server for tests, and the names that it looks up: all of them are this machine."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from cluster.engines import binary
from coalmine.edge import certificates
from coalmine.local.scene import free_base


@dataclass(frozen=True)
class Acme:
    """`directory` is what a client is told, `trust` whom it believes there, `root` who signs what is issued."""

    directory: str
    trust: Path
    root: Path


@contextmanager
def server(folder: Path, *, asks_at: int) -> Iterator[Acme]:
    """An authority that proves names at the plain port `asks_at`, with every validation done anew."""
    first = free_base(25443)
    directory, management, names, told = range(first, first + 4)
    tls = certificates.ensure(folder / "tls", ("localhost",))
    config = {
        "listenAddress": f"127.0.0.1:{directory}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(tls.pem),
        "privateKey": str(tls.pem),
        "httpPort": asks_at,
        "tlsPort": 0,
        "profiles": {"default": {"description": "90 days", "validityPeriod": 90 * 86400}},
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    # Else it waits up to 15 s before it asks, and takes half of the renewals for proved already.
    env = os.environ | {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    resolver = ["-dnsserver", f"127.0.0.1:{names}", "-management", f"127.0.0.1:{told}", "-defaultIPv6", ""]
    nothing = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]
    with ExitStack() as stack, (folder / "acme.log").open("wb") as log:
        for command in (
            [binary("pebble-challtestsrv"), *resolver, *nothing],
            [binary("pebble"), "-config", folder / "pebble.json", "-dnsserver", f"127.0.0.1:{names}"],
        ):
            child = subprocess.Popen([str(word) for word in command], env=env, stdout=log, stderr=log)
            stack.callback(_end, child)
        assert tls.ca is not None
        root = folder / "root.pem"
        root.write_text(_when_ready(f"https://localhost:{management}/roots/0", tls.ca))
        yield Acme(f"https://localhost:{directory}/dir", tls.ca, root)


def _when_ready(url: str, ca: Path) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = httpx.get(url, verify=ssl.create_default_context(cafile=str(ca)), trust_env=False)
            return answer.raise_for_status().text
        except httpx.TransportError:
            assert time.monotonic() < deadline, "pebble does not answer; see acme.log"
            time.sleep(0.1)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    child.wait(30)
