"""A user's own certificate: read, checked, and refused in words before nginx refuses handshakes without any."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from coalmine.edge.authority import as_address
from coalmine.errors import BadInput

CERTBOTS = ("fullchain.pem", "privkey.pem")
_ORDER = "cat fullchain.pem privkey.pem > site.pem, and name that file as `certificate`"


def load(path: Path, server_names: tuple[str, ...], *, now: datetime) -> bytes:
    """The PEM's bytes if they can be served under all of `server_names`. Raises BadInput, naming the file.

    A folder is one of certbot's (live/<name>): chain and key are two links in it, which a renewal turns one after the
    other. Between the two they do not match and are refused, like any other key of another certificate.
    """
    try:
        content = b"".join(file.read_bytes() for file in files(path))
    except OSError as error:
        raise BadInput(f"can't be read: {error.strerror}", where=str(path), remedy=_ORDER) from error
    leaf = _leaf(content, path)
    if _key(content, path).public_key() != leaf.public_key():
        raise BadInput(
            "the key does not belong to the first certificate",
            where=str(path),
            remedy="the server's certificate comes first, then the chain, then its key",
        )
    _check_time(leaf, path, now=now)
    _check_names(leaf, path, server_names=server_names)
    return content


def files(path: Path) -> tuple[Path, ...]:
    """What is read: the file itself, or chain and key in a folder of certbot's."""
    return tuple(path / name for name in CERTBOTS) if path.is_dir() else (path,)


def stamp(path: Path) -> tuple[tuple[int, int], ...]:
    """Changes when the files do; empty where they can't be looked at. Cheap enough for every second."""
    try:
        seen = [file.stat() for file in files(path)]
    except OSError:
        return ()
    return tuple((one.st_ino, one.st_mtime_ns) for one in seen)


def _leaf(content: bytes, path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except ValueError as error:
        raise BadInput("no certificate in PEM in it", where=str(path), remedy=_ORDER) from error


def _key(content: bytes, path: Path) -> PrivateKeyTypes:
    begin = content.find(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    if begin >= 0:
        raise BadInput(
            "the key is encrypted, and nobody is there to type its password",
            where=str(path),
            remedy="openssl pkey -in encrypted.pem -out privkey.pem",
        )
    marks = [content.find(b"-----BEGIN " + kind + b"PRIVATE KEY-----") for kind in (b"", b"EC ", b"RSA ")]
    found = [mark for mark in marks if mark >= 0]
    if not found:
        raise BadInput("no private key in it", where=str(path), remedy=_ORDER)
    try:
        return serialization.load_pem_private_key(content[min(found) :], password=None)
    except (ValueError, TypeError) as error:
        raise BadInput(f"the private key can't be read: {error}", where=str(path), remedy=_ORDER) from error


def _check_time(leaf: x509.Certificate, path: Path, *, now: datetime) -> None:
    if now >= leaf.not_valid_after_utc:
        raise BadInput(
            f"expired on {leaf.not_valid_after_utc:%Y-%m-%d}", where=str(path), remedy="renew it where it was issued"
        )
    if now < leaf.not_valid_before_utc:
        raise BadInput(
            f"not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            where=str(path),
            remedy="check this machine's clock",
        )


def _check_names(leaf: x509.Certificate, path: Path, *, server_names: tuple[str, ...]) -> None:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    addresses = names.get_values_for_type(x509.IPAddress)
    for wanted in server_names:
        address = as_address(wanted)
        covered = address in addresses if address else any(_covers(host, wanted.lower()) for host in hosts)
        if not covered:
            raise BadInput(
                f"it is not for {wanted}, only for {', '.join([*hosts, *map(str, addresses)]) or 'nothing'}",
                where=str(path),
                remedy="change `server_names`, or have a certificate issued for them",
            )


def _covers(pattern: str, host: str) -> bool:
    """A wildcard stands for one label, the leftmost (RFC 6125, 6.4.3)."""
    if not pattern.startswith("*."):
        return pattern == host
    _, _, rest = host.partition(".")
    return rest == pattern[2:]
