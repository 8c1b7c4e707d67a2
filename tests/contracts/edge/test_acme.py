"""The plain port: proofs for an ACME server out of one folder, and nothing else but the redirect."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from contracts.edge.conftest import Rig

PROOFS = "/.well-known/acme-challenge"


@pytest.fixture
def webroot(tmp_path: Path) -> Path:
    folder = tmp_path / "acme" / PROOFS.strip("/")
    folder.mkdir(parents=True)
    (folder / "tOk_en-1").write_text("tOk_en-1.thumbprint")
    (tmp_path / "acme" / "secret").write_text("not for anybody")
    return tmp_path / "acme"


def _get(rig: Rig, path: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", rig.config.http_port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers.get("Content-Type", ""), body


def test_a_proof_is_served_as_it_is(start: Callable[..., Rig], webroot: Path) -> None:
    """By the name that the ACME server asks for, without a redirect."""
    assert _get(start(acme=webroot), f"{PROOFS}/tOk_en-1") == (200, "text/plain", b"tOk_en-1.thumbprint")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{PROOFS}/another", 404),
        (f"{PROOFS}/", 308),
        (f"{PROOFS}/../../secret", 308),
        (f"{PROOFS}/%2e%2e/%2e%2e/secret", 308),
        (f"{PROOFS}//tOk_en-1/x", 308),
        ("/secret", 308),
    ],
)
def test_nothing_else_of_the_folder_is_served(start: Callable[..., Rig], webroot: Path, path: str, status: int) -> None:
    """What is no proof's name is redirected like everything else."""
    found, _, body = _get(start(acme=webroot), path)
    assert (found, b"anybody" in body) == (status, False)
