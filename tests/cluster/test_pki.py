"""What the bench's certificates promise to those who serve and call with them."""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509

from cluster.pki import API_SERVER_HOSTS, Authority, service_account_pair, write_kubeconfig


def test_a_certificate_names_every_host_it_was_asked_for(tmp_path: Path) -> None:
    pair = Authority.at(tmp_path).issue("api", common_name="api", hosts=API_SERVER_HOSTS)
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "198.18.0.1", "198.19.0.1"}
    assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)


def test_an_authority_started_again_is_the_same_one(tmp_path: Path) -> None:
    first = Authority.at(tmp_path).certificate.read_bytes()
    pair = service_account_pair(tmp_path)
    key = pair.key.read_bytes()
    assert Authority.at(tmp_path).certificate.read_bytes() == first
    assert service_account_pair(tmp_path).key.read_bytes() == key


def test_private_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    authority = Authority.at(tmp_path / "pki")
    pair = authority.issue("admin", common_name="admin", organization="system:masters")
    config = write_kubeconfig(tmp_path / "c", server="https://x", authority=authority.certificate, pair=pair)
    for path in (authority.key, pair.key, config):
        assert path.stat().st_mode & 0o077 == 0


def test_tls_trusts_what_the_authority_signed(tmp_path: Path) -> None:
    authority = Authority.at(tmp_path)
    pair = authority.issue("web", common_name="web", hosts=["web.test"])
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(pair.certificate, pair.key)
    client = ssl.create_default_context(cafile=str(authority.certificate))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(to_client, to_server, server_hostname="web.test")
    called = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):  # hello, certificate, finished
        for side in (caller, called):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert caller.version() == "TLSv1.3"
