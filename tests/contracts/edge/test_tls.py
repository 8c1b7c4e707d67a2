"""TLS: old protocols refused, the chain verified, a renewal that nobody notices but new handshakes."""

from __future__ import annotations

import socket
import ssl
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from coalmine.edge import certificates

if TYPE_CHECKING:
    from contracts.edge.conftest import Load, Rig


def _handshake(rig: Rig, context: ssl.SSLContext, name: str = "localhost") -> tuple[str | None, bytes | None]:
    with (
        socket.create_connection(("127.0.0.1", rig.config.https_port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return secure.version(), secure.getpeercert(binary_form=True)


def test_the_chain_holds_for_name_and_address_and_for_nothing_else(rig: Rig) -> None:
    assert _handshake(rig, rig.trust())[0] == "TLSv1.3"
    assert _handshake(rig, rig.trust(), "127.0.0.1")[0] == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch"):
        _handshake(rig, rig.trust(), "example.org")


def test_a_client_that_trusts_another_ca_refuses(rig: Rig, tmp_path: Path) -> None:
    other = certificates.ensure(tmp_path / "other", ("localhost",))
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(rig, ssl.create_default_context(cafile=str(other.ca)))


def test_tls_1_2_passes_and_1_1_is_refused(rig: Rig) -> None:
    context = rig.trust()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert _handshake(rig, context)[0] == "TLSv1.2"
    old = rig.trust()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")  # else the client itself would refuse, and the server not be asked
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        _handshake(rig, old)


def test_a_renewal_under_load_loses_nothing_and_new_handshakes_see_it(rig: Rig, load: type[Load]) -> None:
    served: set[int] = set()
    with load(rig, clients=3) as kept, load(rig, clients=3, reconnect=True) as fresh:
        for _ in range(15):
            certificates.renew(rig.config.certificates, ("localhost",))
            fresh.wait(30)
            _, der = _handshake(rig, rig.trust())
            assert der is not None
            served.add(x509.load_der_x509_certificate(der).serial_number)
    assert (kept.failures, fresh.failures) == ([], [])
    assert {answer.status for answer in kept.answers + fresh.answers} == {200}
    assert len(served) == 15
