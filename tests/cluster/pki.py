"""The bench's certificates: one authority in a folder, and pairs signed by it, made in milliseconds.

Nothing here guards what outlives a bench: the keys lie unencrypted in its folder, readable by their owner only.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# How a client may name the API server of the bench: by loopback, by the node's address, by the first service address.
API_SERVER_HOSTS = (
    "127.0.0.1",
    "198.18.0.1",
    "198.19.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_DAYS = 30


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate (or public key) and its private key, both PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in `folder`: `ca.crt` and `ca.key`, and beside them whatever it issues."""

    folder: Path

    @classmethod
    def at(cls, folder: Path, *, name: str = "coalmine-bench") -> Self:
        """The authority that lies there, or a new one: a node started again must trust what it trusted before."""
        authority = cls(folder)
        if not (authority.certificate.exists() and authority.key.exists()):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _name(name, "")
            builder = _builder(subject, issuer=subject, public=key.public_key()).add_extension(
                x509.BasicConstraints(ca=True, path_length=0), critical=True
            )
            builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
            write_private(authority.key, _private_pem(key))
            authority.certificate.write_bytes(_pem(builder.sign(key, hashes.SHA256())))
        return authority

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def key(self) -> Path:
        return self.folder / "ca.key"

    def issue(
        self,
        file: str,
        *,
        common_name: str,
        organization: str = "",
        hosts: Sequence[str] = (),
        folder: Path | None = None,
    ) -> Pair:
        """Sign `<file>.crt` and `<file>.key` in `folder` (default: the authority's), for server and client use.

        `hosts`: subject alternative names, DNS names and IP addresses mixed. An older pair of that name is replaced.
        """
        signer = serialization.load_pem_private_key(self.key.read_bytes(), password=None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self.key}: not a key that this module made")
        authority = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name, organization), issuer=authority.subject, public=key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = builder.add_extension(purposes, critical=False)
        if hosts:
            names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        where = folder or self.folder
        where.mkdir(parents=True, exist_ok=True)
        pair = Pair(where / f"{file}.crt", where / f"{file}.key")
        write_private(pair.key, _private_pem(key))
        pair.certificate.write_bytes(_pem(builder.sign(signer, hashes.SHA256())))
        return pair


def service_account_pair(folder: Path) -> Pair:
    """`sa.pub` and `sa.key`, by which an API server signs service accounts' tokens; kept if they lie there already."""
    pair = Pair(folder / "sa.pub", folder / "sa.key")
    if not (pair.key.exists() and pair.certificate.exists()):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(pair.key, _private_pem(key))
        public = serialization.PublicFormat.SubjectPublicKeyInfo
        pair.certificate.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, public))
    return pair


def write_kubeconfig(path: Path, *, server: str, authority: Path, pair: Pair, user: str = "admin") -> Path:
    """A kubeconfig with everything inside it, so that it can be copied away. JSON is YAML."""

    def data(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    identity = {"client-certificate-data": data(pair.certificate), "client-key-data": data(pair.key)}
    cluster = {"server": server, "certificate-authority-data": data(authority)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": user, "user": identity}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user}}],
        "current-context": "bench",
    }
    write_private(path, json.dumps(content, indent=1).encode())
    return path


def write_private(path: Path, content: bytes) -> None:
    """Never readable by others, not even for a moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _name(common_name: str, organization: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, *, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=_DAYS))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    traditional = serialization.PrivateFormat.TraditionalOpenSSL  # what every Go program reads
    return key.private_bytes(serialization.Encoding.PEM, traditional, serialization.NoEncryption())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
