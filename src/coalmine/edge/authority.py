"""The local CA and the certificates that it signs: for one machine, where nobody else would sign `localhost`.

The CA may sign only for the names that it was made for (RFC 5280 name constraints, path length 0), so that a user
who trusts it in a browser trusts it for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
SERVER_DAYS = 90
_SKEW = timedelta(hours=1)  # a client's clock may be behind
_NAME = "Coalmine local CA"
_LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def wanted_names(server_names: tuple[str, ...]) -> tuple[x509.GeneralName, ...]:
    """The names a server certificate carries: those given and the loopback addresses."""
    return tuple(_general(name) for name in dict.fromkeys((*server_names, *_LOOPBACK)))


def new_authority(server_names: tuple[str, ...], *, now: datetime, old: Authority | None = None) -> Authority:
    """A CA for these names. With `old`, the same key and subject: who trusts the old one, trusts the new one."""
    key = old.key if old else ec.generate_private_key(ec.SECP256R1())
    number = x509.random_serial_number()
    subject = old.certificate.subject if old else _subject(f"{_NAME} {number:x}"[:40])
    permitted = [_subtree(name) for name in wanted_names(server_names)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def sign_server(authority: Authority, server_names: tuple[str, ...], *, now: datetime) -> bytes:
    """A new key and its certificate as one PEM: certificate first, then key."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_subject(server_names[0][:64]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(min(now + timedelta(days=SERVER_DAYS), authority.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(wanted_names(server_names)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key_pem(key)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def permits(authority: Authority, server_names: tuple[str, ...]) -> bool:
    """Whether the CA may sign for all of these names."""
    try:
        constraints = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return False
    permitted = set(constraints.permitted_subtrees or [])
    return all(_subtree(name) in permitted for name in wanted_names(server_names))


def one_third_left(certificate: x509.Certificate, *, now: datetime) -> bool:
    """Whether less than a third of its life is left: the time to renew."""
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < life / 3


def utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _general(name: str) -> x509.GeneralName:
    address = as_address(name)
    return x509.IPAddress(address) if address else x509.DNSName(name)


def as_address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None


def _subtree(name: x509.GeneralName) -> x509.GeneralName:
    """An address constrains as a network (RFC 5280, 4.2.1.10); a DNS name as itself and all below it."""
    return x509.IPAddress(ip_network(name.value)) if isinstance(name, x509.IPAddress) else name


def _subject(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
