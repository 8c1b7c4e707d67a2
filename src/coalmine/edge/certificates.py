"""The certificate that nginx serves: made by the local CA or a user's own, swapped by one rename.

    <folder>/ca.pem                 what clients are told to trust
    <folder>/ca.key                 0600
    <folder>/current -> versions/1b2c.../
                          server.pem   0600: chain, then key

nginx resolves `current` once for a handshake and reads chain and key from one file, so the two always match,
whatever is swapped meanwhile; a renewal therefore takes a new key each time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from coalmine.edge import own
from coalmine.edge.authority import (
    Authority,
    key_pem,
    new_authority,
    one_third_left,
    permits,
    sign_server,
    utc,
    wanted_names,
)
from coalmine.errors import Broken

KEEP_SECONDS = 300.0
_VERSIONS = "versions"


@dataclass(frozen=True, slots=True)
class Certificates:
    """`pem` is what nginx reads; `ca` what clients verify against (None with a user's own certificate)."""

    pem: Path
    ca: Path | None
    expires: float  # Unix seconds
    changed: bool  # whether this call put another certificate in force
    new_authority: bool = False  # clients that trusted the old CA have to trust this one


def ensure(
    folder: Path, server_names: tuple[str, ...], *, now: float | None = None, own_pem: Path | None = None
) -> Certificates:
    """Put a valid certificate in force: keep what is good, renew what has less than a third of its life left.

    Call it at the start and then hourly; it changes files only where it must. A user's own PEM is checked and
    copied, so nginx never reads a half-written one.

    Raises:
        BadInput: the user's PEM is unreadable, expired, for other names, or its key does not match.
        Broken: the CA's files can't be read.
    """
    moment = time.time() if now is None else now
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if own_pem is not None:
        content = own.load(own_pem, server_names, now=utc(moment))
        changed = _put(folder, content)
        return Certificates(_pem(folder), None, _expires(content), changed)
    authority, fresh = _authority(folder, server_names, moment)
    current = _current(folder)
    if not fresh and current is not None and _good(current, authority, server_names, moment):
        return Certificates(_pem(folder), folder / "ca.pem", _expires(current), changed=False)
    return _sign(folder, authority, server_names, moment, fresh=fresh)


def renew(folder: Path, server_names: tuple[str, ...], *, now: float | None = None) -> Certificates:
    """A new certificate of the local CA in any case, in force for the next handshake. Raises Broken as `ensure`."""
    moment = time.time() if now is None else now
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority, fresh = _authority(folder, server_names, moment)
    return _sign(folder, authority, server_names, moment, fresh=fresh)


def _sign(folder: Path, authority: Authority, names: tuple[str, ...], moment: float, *, fresh: bool) -> Certificates:
    content = sign_server(authority, names, now=utc(moment))
    _put(folder, content)
    return Certificates(_pem(folder), folder / "ca.pem", _expires(content), changed=True, new_authority=fresh)


def _authority(folder: Path, names: tuple[str, ...], moment: float) -> tuple[Authority, bool]:
    """The CA on disk if it serves, else a new one. The bool says whether clients must trust anew."""
    found = _load_authority(folder)
    if found is None or not permits(found, names):
        made = new_authority(names, now=utc(moment))
        _store_authority(folder, made)
        return made, True
    if one_third_left(found.certificate, now=utc(moment)):
        found = new_authority(names, now=utc(moment), old=found)
        _store_authority(folder, found)
    return found, False


def _load_authority(folder: Path) -> Authority | None:
    certificate, key = folder / "ca.pem", folder / "ca.key"
    if not certificate.exists() or not key.exists():
        return None
    try:
        loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
        parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    except ValueError as error:
        raise Broken(
            f"the local CA can't be read: {error}",
            where=str(folder),
            remedy="remove ca.pem and ca.key; a new CA is made, which clients then have to trust",
        ) from error
    if not isinstance(loaded, ec.EllipticCurvePrivateKey) or loaded.public_key() != parsed.public_key():
        return None  # killed between the two files of a new CA: nobody trusts it yet
    return Authority(parsed, loaded)


def _store_authority(folder: Path, authority: Authority) -> None:
    _write(folder / "ca.key", key_pem(authority.key), mode=0o600)
    _write(folder / "ca.pem", authority.certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _good(content: bytes, authority: Authority, names: tuple[str, ...], moment: float) -> bool:
    leaf = x509.load_pem_x509_certificates(content)[0]
    alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    signed = leaf.issuer == authority.certificate.subject
    return signed and set(alternative) == set(wanted_names(names)) and not one_third_left(leaf, now=utc(moment))


def _current(folder: Path) -> bytes | None:
    try:
        return _pem(folder).read_bytes()
    except FileNotFoundError:
        return None


def _pem(folder: Path) -> Path:
    return folder / "current" / "server.pem"


def _expires(content: bytes) -> float:
    return x509.load_pem_x509_certificates(content)[0].not_valid_after_utc.timestamp()


def _put(folder: Path, content: bytes) -> bool:
    """Put `content` in force by one rename of the link. False if it was already."""
    if _current(folder) == content:
        return False
    version = folder / _VERSIONS / hashlib.sha256(content).hexdigest()[:16]
    version.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(version / "server.pem", content, mode=0o600)
    previous = (folder / "current").resolve() if (folder / "current").exists() else None
    new = folder / "current.new"
    new.unlink(missing_ok=True)
    new.symlink_to(Path(_VERSIONS) / version.name)
    new.replace(folder / "current")
    if previous is not None:
        os.utime(previous)  # its age counts from now: a handshake may be reading it
    _prune(folder / _VERSIONS, keep=version.name)
    return True


def _prune(versions: Path, *, keep: str) -> None:
    for entry in versions.iterdir():
        if entry.name != keep and entry.stat().st_mtime < time.time() - KEEP_SECONDS:
            shutil.rmtree(entry)


def _write(path: Path, content: bytes, *, mode: int) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)
