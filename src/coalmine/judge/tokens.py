"""Who may push counts or override a verdict: named tokens in a file that only its owner can read.

The file keeps each secret's SHA-256, never the secret: the secrets are 256 random bits, so a slow hash adds nothing. It
is read anew when it changes, so a token can be added or taken out while the judge runs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from coalmine.errors import BadInput, Refused

Right = Literal["push", "override"]
RIGHTS: tuple[Right, ...] = get_args(Right)
PREFIX = "cmj_"  # a secret that gets lost in a repository or a log is found by it
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Unauthorized(BadInput):
    """No token, or one that nobody knows."""


class Forbidden(Refused):
    """Nobody may do this here, or this token may not."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `namespaces` empty: all of them. `made` is Unix seconds."""

    name: str
    sha256: str
    may: tuple[Right, ...]
    namespaces: tuple[str, ...] = ()
    made: float = 0.0

    def require(self, right: Right, namespace: str | None = None) -> None:
        """Raises Forbidden where it lacks the right, or has it in other namespaces only."""
        if right not in self.may:
            raise Forbidden(f"{self.name} may not {right}", remedy="use a token that has this right")
        if namespace is not None and self.namespaces and namespace not in self.namespaces:
            raise Forbidden(
                f"{self.name} may not {right} in namespace {namespace}", remedy="use a token that has this namespace"
            )


class Tokens:
    """The tokens of a file; without a file nobody may do anything."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._known: tuple[Token, ...] = ()
        if path is not None:
            self._read()

    def check(self, secret: str | None, right: Right) -> Token:
        """The token of this secret. Whether it may in a namespace is asked of the token itself.

        Raises:
            Forbidden: there is no file, or the token lacks the right.
            Unauthorized: there is no secret, or it is none of ours.
        """
        if self._path is None:
            raise Forbidden(
                "this judge has no tokens, so nobody may do this",
                remedy=f"coalmine judge token NAME --may {right} --tokens FILE; then judge serve --tokens FILE",
            )
        if not secret:
            raise Unauthorized("no token", remedy="send the header Authorization: Bearer <token>")
        token = self._find(secret)
        if token is None:
            raise Unauthorized("the token is not known", remedy="ask whoever runs the judge for one")
        token.require(right)
        return token

    def _find(self, secret: str) -> Token | None:
        """Every token is compared, in constant time: how long it takes says nothing."""
        self._read()
        given, found = _digest(secret), None
        for token in self._known:
            if hmac.compare_digest(token.sha256, given):
                found = token
        return found

    def _read(self) -> None:
        assert self._path is not None
        try:
            status = self._path.stat()
        except OSError as error:
            raise BadInput(str(error), where=str(self._path), remedy="name a file of tokens") from error
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp != self._stamp:
            self._known = read(self._path)
            self._stamp = stamp


def read(path: Path) -> tuple[Token, ...]:
    """The tokens of a file. Raises BadInput where others can read it, or it holds no tokens."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                what = f"others than its owner can read or write it (mode {mode:04o})"
                raise BadInput(what, where=str(path), remedy=f"chmod 600 {path}")
            return tuple(_token(row) for row in json.load(file)["tokens"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"no file of tokens: {error}", where=str(path), remedy="make one with coalmine judge token"
        ) from error


def _token(row: dict[str, Any]) -> Token:
    may = tuple(right for right in RIGHTS if right in row["may"])
    unknown = set(row["may"]) - set(RIGHTS)
    if unknown:
        raise ValueError(f"{row['name']}: no such right: {', '.join(sorted(unknown))}")
    digest = str(row["sha256"])
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(f"{row['name']}: no SHA-256")
    return Token(str(row["name"]), digest, may, tuple(map(str, row.get("namespaces", ()))), float(row.get("made", 0)))


def add(path: Path, name: str, *, may: tuple[str, ...], namespaces: tuple[str, ...] = ()) -> str:
    """Put a new token into the file, in place of one of this name; the secret, which is kept nowhere.

    Raises BadInput where the name, a right or the file is wrong.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name for a token", where="NAME", remedy="letters, digits and . _ @ -")
    if not may or set(may) - set(RIGHTS):
        raise BadInput("which rights?", where="--may", remedy=f"one or more of {', '.join(RIGHTS)}")
    others = [token for token in (read(path) if path.exists() else ()) if token.name != name]
    secret = PREFIX + secrets.token_urlsafe(32)
    rights = tuple(right for right in RIGHTS if right in may)
    tokens = [*others, Token(name, _digest(secret), rights, namespaces, round(time.time(), 3))]
    _write(path, json.dumps({"tokens": [asdict(token) for token in tokens]}, indent=1) + "\n")
    return secret


def write_secret(path: Path, secret: str) -> None:
    """A secret for one client, readable by its owner alone from the first byte on."""
    _write(path, secret + "\n")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
