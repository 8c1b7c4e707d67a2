"""What a key says of an image, by cosign: offline, with a key file, and nothing is sent to a public log.

A signature carries `release` and `model`, and the release's lineage beside them. It is believed only as a whole: the
digest, the key and both names must fit, so a good image under another release's name is refused as an unsigned one is.
The private key's password is cosign's own COSIGN_PASSWORD.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import BadInput, Missing, Refused, Temporary
from coalmine.records import Release, ReleaseId
from coalmine.release.file import ReleaseFile
from coalmine.release.image import Image

_SECONDS = 120
_UNSIGNED = {10: "is not signed", 11: "does not exist in the registry", 12: "is not signed by this key"}
# Of signatures and attestations; cosign's exit code is 1 for some of them.
_NO_MATCH = ("no matching ", "none of the attestations matched")
# The kinds of statement that are signatures, newer and older: `cosign verify` returns attestations beside them.
_SIGNED = {"https://sigstore.dev/cosign/sign/v1", "cosign container image signature"}
# Nobody to ask: no certificate authority, no transparency log, no time stamps.
_OFFLINE = {
    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
    "rekorTlogConfig": {},
    "tsaConfig": {},
}
_NO_ROOT = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}


@dataclass(frozen=True, slots=True)
class Cosign:
    """`insecure`: the registry may speak plain HTTP, for one on this machine. Raises Missing without the program."""

    insecure: bool = False

    def sign(self, image: Image, *, key: Path, facts: Mapping[str, str]) -> None:
        """Put a signature with these facts beside the image. Raises BadInput (no such key), Temporary (registry)."""
        noted = [part for name, value in sorted(facts.items()) for part in ("-a", f"{name}={value}")]
        self._write("sign", image, "--key", str(_file(key)), *noted)

    def attest(self, image: Image, *, key: Path, bill: Path) -> None:
        """Put the bill of materials (SPDX, JSON) beside the image, signed. Raises as `sign`."""
        self._write("attest", image, "--key", str(_file(key)), "--type", "spdxjson", "--predicate", str(_file(bill)))

    def facts(self, image: Image, *, key: Path) -> list[dict[str, str]]:
        """What each signature of this key on this digest says.

        Raises:
            Refused: there is none. Temporary: the registry does not answer. BadInput: no such key.
        """
        done = self._call("verify", *self._read(image, key), "--output=json", str(image))
        signed = [
            {str(name): str(value) for name, value in (row.get("optional") or {}).items()}
            for row in json.loads(done)
            if row["critical"]["image"]["docker-manifest-digest"] == image.digest and row["critical"]["type"] in _SIGNED
        ]
        if not signed:
            raise _unsigned("is not signed by this key", where=str(image))
        return signed

    def attested(self, image: Image, *, key: Path) -> bool:
        """Whether a bill of materials signed by this key lies beside the image."""
        try:
            self._call("verify-attestation", *self._read(image, key), "--type=spdxjson", str(image))
        except Refused:
            return False
        return True

    def _read(self, image: Image, key: Path) -> list[str]:
        del image
        return ["--key", str(_file(key)), "--insecure-ignore-tlog=true", *self._plain()]

    def _plain(self) -> list[str]:
        return ["--allow-http-registry", "--allow-insecure-registry"] if self.insecure else []

    def _write(self, verb: str, image: Image, *arguments: str) -> None:
        with tempfile.TemporaryDirectory(prefix="coalmine-sign-") as folder:
            offline, root = Path(folder) / "offline.json", Path(folder) / "root.json"
            offline.write_text(json.dumps(_OFFLINE), encoding="ascii")
            root.write_text(json.dumps(_NO_ROOT), encoding="ascii")
            own = ("--yes", "--signing-config", str(offline), "--trusted-root", str(root), *self._plain())
            self._call(verb, *own, *arguments, str(image))

    def _call(self, *arguments: str) -> str:
        program = shutil.which("cosign")
        if program is None:
            raise Missing(
                "cosign is not installed", remedy="go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3"
            )
        environ = {"COSIGN_PASSWORD": ""} | os.environ  # without one it would ask, and wait
        try:
            done = subprocess.run(
                [program, *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False, env=environ
            )
        except subprocess.TimeoutExpired as error:
            raise Temporary(f"cosign {arguments[0]} took more than {_SECONDS} s", remedy="try again") from error
        if done.returncode == 0:
            return done.stdout
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")] or [done.stderr.strip()]
        said = errors[0].removeprefix("Error: ")[:600]
        image = arguments[-1]
        unfit = any(words in done.stderr for words in _NO_MATCH)
        if done.returncode in _UNSIGNED or unfit:
            raise _unsigned("is not signed by this key" if unfit else _UNSIGNED[done.returncode], where=image)
        if "decryption failed" in done.stderr:
            raise BadInput("the private key's password is wrong", remedy="give it in COSIGN_PASSWORD")
        raise Temporary(f"cosign {arguments[0]} failed: {said}", where=image, remedy="does the registry answer?")


def _unsigned(what: str, *, where: str) -> Refused:
    remedy = "`coalmine image sign` puts a signature there; the check wants that key's public half"
    return Refused(what, where=where, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Signatures:
    """The push check's question: does this key say that the image is the release that the file names?"""

    cosign: Cosign
    key: Path

    def __call__(self, file: ReleaseFile) -> None:
        """Raises Refused where it does not, Temporary where nobody can be asked."""
        image = Image(file.image, file.digest)
        lineage(self.cosign, image, key=self.key, model=file.model, release=str(file.release))


def lineage(cosign: Cosign, image: Image, *, key: Path, model: str, release: str) -> dict[str, str]:
    """What the signature says of a release besides its name. Raises Refused where none names this release."""
    signed = cosign.facts(image, key=key)
    for facts in signed:
        if (facts.get("model"), facts.get("release")) == (model, release):
            return facts
    others = ", ".join(sorted({f"{facts.get('model')} {facts.get('release')}" for facts in signed})) or "nothing"
    raise Refused(
        f"is signed as {others}, not as {model} {release}",
        where=str(image),
        remedy=f"name the image of {release}: `coalmine image push` prints it",
    )


def record(facts: Mapping[str, str], *, release: ReleaseId) -> Release:
    """A release as its signature tells of it: what a commit's message needs, where the Bento itself is elsewhere."""
    model = facts.get("model", "")
    return Release(
        model=model,
        id=release,
        run_id=facts.get("run", ""),
        dataset_digest=facts.get("dataset", ""),
        git_sha=facts.get("source", ""),
        environment=facts.get("environment", ""),
        bento_tag=f"{model}:{release}",
        bento_path="",
        bento_digest=facts.get("bento", ""),
        created=0.0,
        override=facts.get("override", ""),
    )


def _file(path: Path) -> Path:
    if not path.is_file():
        raise BadInput("no such file", where=str(path), remedy="cosign generate-key-pair makes a pair of keys")
    return path
