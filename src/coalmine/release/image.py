"""A release as an image: named by digest, recorded where `coalmine release` finds it, built and pushed by whichever of
buildah, podman and docker is installed.

The three are told apart here and nowhere else. Where they keep images and how they isolate a build is their own
configuration and environment (`BUILDAH_ISOLATION`, `STORAGE_DRIVER`, `DOCKER_HOST`), which is passed on untouched.
"""

from __future__ import annotations

import json
import posixpath
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from coalmine.errors import BadInput, Broken, Missing, Temporary
from coalmine.files import write_whole
from coalmine.release.file import check_image
from coalmine.settings import Settings

PROGRAMS = ("buildah", "podman", "docker")
_SECONDS = 1800  # a build installs packages over a network
_LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Image:
    """A repository in a registry and a digest `sha256:<64 hex>`: what it names never changes."""

    repository: str
    digest: str

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Image:
        """Read `<registry>/<name>@sha256:<digest>`. Raises BadInput for anything else, a tag included."""
        repository, _, digest = text.partition("@")
        check_image(repository, digest, at=text)
        return cls(repository, digest)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as it lies on a node's disk; `size` in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Builder:
    """One of `PROGRAMS`, by its path."""

    name: str
    path: str

    def build(
        self,
        context: Path,
        containerfile: Path,
        *,
        tag: str,
        labels: Mapping[str, str],
        arguments: Mapping[str, str],
        epoch: int,
    ) -> None:
        """Build `tag` here. Files and image carry the time `epoch` (Unix seconds) so that a second build is the same.

        Raises Broken with the program's last words, Temporary after half an hour.
        """
        command = [self.path, "build", "--file", str(containerfile), "--tag", tag]
        if self.name != "docker":
            command += ["--format=oci", "--layers", f"--timestamp={epoch}"]
        for key, value in {**arguments, "SOURCE_DATE_EPOCH": str(epoch)}.items():
            command += ["--build-arg", f"{key}={value}"]
        for key, value in sorted(labels.items()):
            command += ["--label", f"{key}={value}"]
        run([*command, str(context)], what=f"{self.name} build")

    def push(self, tag: str, *, to: str, insecure: bool) -> str:
        """Push a local image to `to` (`<repository>:<tag>`); returns the digest under which the registry has it."""
        if self.name == "docker":
            run([self.path, "tag", tag, to], what="docker tag")
            run([self.path, "push", "--quiet", to], what="docker push")
            said = run([self.path, "inspect", "--format={{json .RepoDigests}}", to], what="docker inspect")
            own = [name for name in json.loads(said) if name.startswith(f"{to.rpartition(':')[0]}@")]
            return str(own[0]).partition("@")[2]
        with tempfile.TemporaryDirectory(prefix="coalmine-push-") as folder:
            at = Path(folder) / "digest"
            plain = ["--tls-verify=false"] if insecure else []
            run([self.path, "push", *plain, "--digestfile", str(at), tag, f"docker://{to}"], what=f"{self.name} push")
            return at.read_text(encoding="ascii").strip()

    def layers(self, tag: str) -> list[Layer]:
        """What a local image is made of, lowest layer first."""
        if self.name == "buildah":  # it alone says so without writing all of the image out
            told = json.loads(run([self.path, "inspect", "--type", "image", tag], what="buildah inspect"))
            return [Layer(one["digest"], one["size"]) for one in json.loads(told["Manifest"])["layers"]]
        with tempfile.TemporaryDirectory(prefix="coalmine-layers-") as folder:
            at = Path(folder) / "image.tar"
            where = (
                ["save", "--output", str(at), tag] if self.name == "docker" else ["push", tag, f"docker-archive:{at}"]
            )
            run([self.path, *where], what=f"{self.name} {where[0]}")
            with tarfile.open(at) as archive:
                listed = archive.extractfile("manifest.json")
                names = json.loads(listed.read())[0]["Layers"] if listed else []
                return [Layer(name, _member(archive, name).size) for name in names]


def _member(archive: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """A layer that is the same as another is kept once, and linked to."""
    found = archive.getmember(name)
    at = str(PurePosixPath(name).parent)
    return archive.getmember(posixpath.normpath(f"{at}/{found.linkname}")) if found.issym() else found


def find(wanted: str = "") -> Builder:
    """The `wanted` program, or the first of `PROGRAMS` that is installed. Raises BadInput or Missing."""
    if wanted and wanted not in PROGRAMS:
        raise BadInput(f"{wanted!r} builds no images", where="--with", remedy=f"one of {', '.join(PROGRAMS)}")
    for name in (wanted,) if wanted else PROGRAMS:
        if path := shutil.which(name):
            return Builder(name, path)
    raise Missing(f"no {wanted or 'program that builds images'} here", remedy="sudo apt-get install -y buildah")


def run(command: Sequence[str], *, what: str, environ: Mapping[str, str] | None = None) -> str:
    """What a program printed. Raises Broken with its last lines, Temporary where it takes too long."""
    try:
        done = subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            env=dict(environ) if environ else None,
        )
    except subprocess.TimeoutExpired as error:
        raise Temporary(f"{what} was not done after {_SECONDS} s", where=command[0]) from error
    if done.returncode:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_LAST_LINES:])
        raise Broken(f"{what} failed ({done.returncode}): {said}")
    return done.stdout


def _place(settings: Settings, name: str, version: str) -> Path:
    return settings.state / "images" / name / f"{version}.json"


def keep(settings: Settings, name: str, version: str, *, image: Image) -> None:
    """Remember under which digest an image was pushed; `version` is a release id, for a model's."""
    row = {"image": image.repository, "digest": image.digest}
    write_whole(_place(settings, name, version), json.dumps(row, indent=1) + "\n")


def kept(settings: Settings, name: str, version: str) -> Image:
    """The image last pushed of it. Raises BadInput naming what pushes one."""
    path = _place(settings, name, version)
    remedy = f"coalmine image build {version}, then coalmine image push {version} --registry <registry>"
    try:
        row = json.loads(path.read_bytes())
        return Image.parse(f"{row['image']}@{row['digest']}")
    except FileNotFoundError as error:
        raise BadInput(f"no image of {name} {version} was pushed from here", where=str(path), remedy=remedy) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"is no record of an image: {error}", where=str(path), remedy=remedy) from error


def bill(settings: Settings, name: str, version: str) -> Path:
    """Where its bill of materials lies (SPDX, JSON)."""
    return _place(settings, name, version).with_suffix(".spdx.json")
