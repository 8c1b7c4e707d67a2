"""The bench's images: each is made once from `recipes/<folder>/Containerfile`, kept as an OCI archive, and loaded.

They carry the names that upstream's have, so that manifests are applied unchanged. `buildah` builds them in a chroot:
no daemon, no registry; root is needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster import cache, engines, rootfs
from coalmine.errors import BadInput, Broken
from coalmine.files import write_whole

RECIPES = Path(__file__).with_name("recipes")
DEBIAN = "docker.io/library/debian:bookworm-slim"
PYTHON = "docker.io/library/python:3.11-slim-bookworm"
ARGO_REDIS = "public.ecr.aws/docker/library/redis:8.2.3-alpine"  # as Argo CD's own manifests have it
_TRUST = "/etc/ssl/certs/ca-certificates.crt"

Source = Callable[[], Path]


@dataclass(frozen=True, slots=True)
class Image:
    """One image: the upstream names that it gets, and what lies beside its Containerfile when that is built."""

    names: tuple[str, ...]
    folder: str
    over: str = DEBIAN
    engines: tuple[str, ...] = ()
    files: Mapping[str, Source] = field(default_factory=dict)

    def sources(self) -> dict[str, Path]:
        """Each name in the build's context and the file for it; builds engines that are not built yet."""
        return {name: engines.binary(name) for name in self.engines} | {k: make() for k, make in self.files.items()}


def _argo(path: str) -> Source:
    return lambda: engines.module("argocd") / path


IMAGES: tuple[Image, ...] = (
    Image((DEBIAN,), "debian", over="", files={"debian.tar": rootfs.debian}),
    Image(
        ("registry.k8s.io/pause:3.10",),
        "pause",
        over="",
        files={"pause": lambda: rootfs.pause(RECIPES / "pause" / "pause.c")},
    ),
    Image(("docker.io/coredns/coredns:1.14.0",), "coredns", over="", engines=("coredns",)),
    Image((PYTHON,), "python"),
    Image(("ghcr.io/fluxcd/flagger:1.44.0",), "flagger", engines=("flagger",)),
    Image(("docker.io/envoyproxy/gateway:v1.9.1",), "envoy-gateway", engines=("envoy-gateway",)),
    Image(
        (f"docker.io/envoyproxy/envoy:distroless-v{rootfs.ENVOY}",),
        "envoy",
        engines=("envoy-gateway",),
        files={"envoy": rootfs.envoy},
    ),
    Image(
        (
            "docker.io/library/redis:7",
            "public.ecr.aws/docker/library/redis:8.2.3-alpine",
        ),  # the second is Argo CD's own
        "redis",
    ),
    Image(("quay.io/prometheus/prometheus:v3.16.0",), "prometheus", engines=("prometheus",)),
    Image(
        ("quay.io/argoproj/argocd:v3.5.7",),
        "argocd",
        engines=("argocd", "helm", "kustomize"),
        files={
            "gpg-wrapper.sh": _argo("hack/gpg-wrapper.sh"),
            "git-verify-wrapper.sh": _argo("hack/git-verify-wrapper.sh"),
            "entrypoint.sh": _argo("entrypoint.sh"),
        },
    ),
)


def named(name: str) -> Image:
    """The image with that upstream name or that folder. Raises BadInput naming those that there are."""
    for image in IMAGES:
        if name == image.folder or name in image.names:
            return image
    known = " ".join(image.folder for image in IMAGES)
    raise BadInput(f"no image {name!r}", where="cluster.images", remedy=f"one of: {known}")


def image(name: str) -> Path:
    """The OCI archive of an image (upstream name or folder), made on first use: seconds, without its engines' builds.

    Raises BadInput for an unknown name, Missing without buildah or debootstrap, Broken when a build fails.
    """
    wanted = named(name)
    sources = wanted.sources()
    containerfile = RECIPES / wanted.folder / "Containerfile"
    recipe = {
        "name": wanted.names[0],
        "over": image(wanted.over).name if wanted.over else "",
        "containerfile": containerfile.read_text(),
        "sources": {name: _identity(path) for name, path in sources.items()},
    }

    def make(path: Path) -> None:
        _say(f"{wanted.names[0]}: making")
        with tempfile.TemporaryDirectory(dir=cache.folder(), prefix="context-") as context:
            for file, source in sources.items():
                shutil.copy(source, Path(context) / file)
            build(containerfile, context=Path(context), name=wanted.names[0], archive=path, over=wanted.over)

    return cache.kept(f"image-{wanted.folder}", json.dumps(recipe, sort_keys=True), make)


def load(names: Sequence[str], *, ctr: Callable[..., str], say: Callable[[str], None] = lambda _: None) -> None:
    """Import images into containerd, by its client `ctr`, under all their names; what is there already stays.

    Raises as `image`, and Broken with what `ctr` says.
    """
    for number, name in enumerate(names, start=1):
        archive, wanted = image(name), named(name)
        there = _listed(ctr)
        first, *others = wanted.names
        digest = manifest(archive)
        say(f"[{number}/{len(names)}] {first}{' is there' if there.get(first) == digest else ''}")
        if there.get(first) != digest:
            ctr("images", "import", str(archive))
        for other in others:
            if there.get(other) != digest:
                ctr("images", "tag", "--force", first, other)


def build(
    containerfile: Path,
    *,
    context: Path,
    name: str,
    archive: Path,
    over: str = "",
    arguments: Sequence[str] = (),
) -> None:
    """Build a Containerfile into an OCI archive that carries `name`. `over`: the bench's image that it builds on.

    Raises Missing without buildah, Broken with the build's last lines.
    """
    if over:
        _present(over)
    options = ["--pull-never", "--layers=false", *arguments]
    buildah("build", *options, "--tag", name, "--file", str(containerfile), str(context), niceness=19)
    buildah("push", name, f"oci-archive:{archive}:{name}")
    if name not in {DEBIAN, PYTHON}:  # what others build on stays; the rest is in its archive
        buildah("rmi", name)


def run(name: str, *command: str, user: int) -> str:
    """A command's output, stdout and stderr, in a container of that image: to see it start where no node is. It goes
    through a file where the image has a shell: buildah's own pipe loses what is written just before the end.

    Raises Broken with what it says if it fails.
    """
    container = buildah("from", "--pull-never", f"oci-archive:{image(name)}").strip()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        said = Path(scratch) / "said"
        said.touch()
        said.chmod(0o666)
        words = ["run", "--user", f"{user}:{user}", "--volume", f"{said}:/run/said", container, "--"]
        try:
            if not named(name).over:
                return buildah(*words, *command)
            buildah(*words, "/bin/sh", "-c", 'exec "$@" >/run/said 2>&1', "sh", *command)
            return said.read_text()
        except Broken as error:
            raise Broken(f"{error}\n{said.read_text()[-2000:]}") from error
        finally:
            buildah("rm", container)


def buildah(*words: str, niceness: int = 0) -> str:
    """Run buildah on the bench's own image store, not the user's. Raises as `rootfs.run`."""
    if not shutil.which("buildah"):
        rootfs.run(["buildah"])  # says what to install
    return rootfs.run(["nice", "-n", str(niceness), "buildah", *words], environment=_environment())


def environment(*bases: str) -> dict[str, str]:
    """What makes any use of buildah, such as `coalmine image build`, work on the bench's store.

    `bases`: the bench's images that it builds on; they are made and put there.
    """
    for base in bases:
        _present(base)
    return _environment()


def _environment() -> dict[str, str]:
    store = cache.folder() / "containers"
    store.mkdir(exist_ok=True)
    storage = f'[storage]\ndriver = "vfs"\ngraphroot = "{store}/root"\nrunroot = "{store}/run"\n'
    write_whole(store / "storage.conf", storage)
    # Hosts that intercept TLS have an authority of their own in this file; what a build fetches must trust it too.
    volumes = [f"{_TRUST}:{_TRUST}:ro"] if Path(_TRUST).exists() else []
    write_whole(store / "containers.conf", f"[containers]\nvolumes = {json.dumps(volumes)}\n")
    return {
        "BUILDAH_ISOLATION": "chroot",
        "STORAGE_DRIVER": "vfs",
        "CONTAINERS_STORAGE_CONF": str(store / "storage.conf"),
        "CONTAINERS_CONF": str(store / "containers.conf"),
        "TMPDIR": str(cache.folder()),
    }


def manifest(archive: Path) -> str:
    """The digest of the image in an OCI archive: `sha256:<64 hex>`."""
    with tarfile.open(archive) as tar:
        index = tar.extractfile("index.json")
        assert index is not None
        return str(json.load(index)["manifests"][0]["digest"])


def _listed(ctr: Callable[..., str]) -> dict[str, str]:
    """The names that containerd has and the digest that each names."""
    lines = [line.split() for line in ctr("images", "list").splitlines()[1:]]  # REF TYPE DIGEST ...
    return {words[0]: words[2] for words in lines if len(words) > 2}


def _present(name: str) -> None:
    """See to it that an image can be built upon."""
    archive = image(name)
    wanted = manifest(archive)
    with cache.locked("containers"):
        listed = json.loads(buildah("images", "--json"))
        if not any(name in (entry.get("names") or []) and entry.get("digest") == wanted for entry in listed):
            buildah("pull", f"oci-archive:{archive}:{name}")


def _identity(path: Path) -> str:
    """What is in a file: its address where the cache made it, else its digest."""
    made = cache.folder() / "kept"
    if path.is_relative_to(made):
        return str(path.relative_to(made))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _say(text: str) -> None:
    sys.stderr.write(text + os.linesep)
    sys.stderr.flush()
