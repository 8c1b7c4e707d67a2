"""The prediction id and the signed token that people give feedback with.

A prediction id is a UUIDv7 (RFC 9562, section 5.7): its first 48 bits are the Unix time in milliseconds, so the time
of a prediction, and with it the ramp step, follows from the id alone. A token is

    <uuid>.<release id>.<base64url of the first 16 bytes of HMAC-SHA256(key, "<uuid>.<release id>"), no padding>

or, for a tenant other than `default`, <uuid>.<release id>.<tenant>.<signature> with a key of the tenant's own, derived
from the installation's. So feedback is accepted without a look-up, and nobody votes on what they were not served.

Where the prediction was traced, `T<trace id>-<span id>` stands before the signature, signed with the rest: the vote
goes on in that trace, and nobody adds to a trace of somebody else's.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from coalmine.errors import BadInput, Refused
from coalmine.records import ReleaseId

KEY_BYTES = 32
_SIGNATURE_BYTES = 16
DEFAULT_TENANT = "default"
TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
_TRACE = re.compile(r"T([0-9a-f]{32}-[0-9a-f]{16})\Z")  # no tenant has capitals
_REMEDY = "send back the prediction_id of an answer of POST /predict, unchanged"


@dataclass(frozen=True, slots=True)
class Signed:
    """What a verified token says."""

    prediction: str
    release: ReleaseId
    tenant: str = DEFAULT_TENANT
    trace: str = ""  # "<trace id>-<span id>" of the prediction, where it was traced

    @property
    def predicted_at(self) -> float:
        return predicted_at(self.prediction)


class _Clock:
    """60 bits of time that never stand still: milliseconds and 12 bits below them (RFC 9562, 6.2, method 3)."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def tick(self) -> int:
        milliseconds, rest = divmod(time.time_ns(), 1_000_000)
        now = (milliseconds << 12) | (rest * 4096 // 1_000_000)
        with self._lock:
            # A clock set back must not make ids that go back; at worst they run ahead of it.
            self._last = max(now, self._last + 1)
            return self._last


_CLOCK = _Clock()


def mint() -> str:
    """A new prediction id: later calls of one process sort after earlier ones."""
    ticks = _CLOCK.tick()
    random = int.from_bytes(os.urandom(8)) >> 2
    number = (ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | random
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def predicted_at(prediction: str) -> float:
    """Unix seconds (to the millisecond) at which `prediction` was minted. Raises BadInput for anything but a UUIDv7."""
    if _UUID7.match(prediction) is None:
        raise BadInput("it does not begin with a prediction's UUIDv7", where="prediction_id", remedy=_REMEDY)
    return int(prediction[:8] + prediction[9:13], 16) / 1000


def sign(prediction: str, release: str, *, key: bytes, tenant: str = DEFAULT_TENANT, trace: str = "") -> str:
    """The token for `prediction` as answered by `release` (a release id's text) to somebody of `tenant`, in `trace`."""
    message = f"{prediction}.{release}"
    if tenant != DEFAULT_TENANT:
        message, key = f"{message}.{tenant}", _of_tenant(key, tenant)
    if trace:
        message = f"{message}.T{trace}"
    return f"{message}.{_signature(message, key)}"


def verify(token: str, *, key: bytes) -> Signed:
    """Read a token.

    Raises:
        Refused: well-formed, but not signed with this key: forged, altered, or of another installation.
        BadInput: no token at all.
    """
    parts = token.split(".")
    traced = _TRACE.match(parts[-2]) if len(parts) > 3 else None
    if traced:
        del parts[-2]
    if len(parts) not in (3, 4):
        raise BadInput(
            "a token has three parts, or four with a tenant, divided by dots", where="prediction_id", remedy=_REMEDY
        )
    prediction, release = parts[:2]
    tenant = parts[2] if len(parts) == 4 else DEFAULT_TENANT
    predicted_at(prediction)
    try:
        parsed = ReleaseId.parse(release)
    except BadInput as error:
        raise BadInput(error.what, where="prediction_id", remedy=_REMEDY) from error
    if TENANT.match(tenant) is None:
        raise BadInput("its third part is no tenant", where="prediction_id", remedy=_REMEDY)
    # Compared as text: base64 has several spellings of the same bytes, and only ours is ours.
    trace = traced[1] if traced else ""
    expected = sign(prediction, release, key=key, tenant=tenant, trace=trace)
    if not hmac.compare_digest(expected.encode(), token.encode("utf-8", "surrogatepass")):
        raise Refused("its signature is not ours", where="prediction_id", remedy=_REMEDY)
    return Signed(prediction=prediction, release=parsed, tenant=tenant, trace=trace)


@lru_cache(maxsize=256)
def _of_tenant(key: bytes, tenant: str) -> bytes:
    """No tenant's tokens can be made with another's key, should one of these ever be given away."""
    return hmac.digest(key, f"tenant:{tenant}".encode(), "sha256")


def _signature(message: str, key: bytes) -> str:
    digest = hmac.digest(key, message.encode(), "sha256")[:_SIGNATURE_BYTES]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def make_key(path: Path) -> bytes:
    """The key in `path`; made (mode 0600, 32 random bytes) where there is none yet. Safe against a second maker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, path)  # unlike a rename, a link never replaces a key that tokens are signed with already
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return read_key(path)


def read_key(path: Path) -> bytes:
    """The key in `path`. Raises BadInput where it is missing or not 32 bytes long."""
    try:
        key = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"the feedback key cannot be read: {error.strerror}",
            where=str(path),
            remedy="`coalmine up` makes it; COALMINE_FEEDBACK_KEY names it",
        ) from error
    if len(key) != KEY_BYTES:
        raise BadInput(
            f"the feedback key has {len(key)} bytes, not {KEY_BYTES}",
            where=str(path),
            remedy="put the key back; a new one (delete the file, `coalmine up`) makes all tokens given out void",
        )
    return key
