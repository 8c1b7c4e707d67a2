"""This project's own images, built of a commit by the project's own commands, and kept by what went into them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster import cache, engines, images
from coalmine.errors import Broken
from coalmine.release.git import Repository

ROOT = Path(__file__).parents[2]
# What goes into each image that the bench's tree runs (no pipeline is in it), besides the base that it is built on.
PARTS = {
    "coalmine": ("src", "nginx", "images", "pyproject.toml", "locks/cluster.txt"),
    "mlflow": ("images/mlflow.Containerfile", "locks/tracking.txt"),
    "nginx": ("images/nginx.Containerfile",),
}
_BASES = {"coalmine": images.PYTHON, "mlflow": images.PYTHON, "nginx": images.DEBIAN}
_KEPT = 2  # of each image: this commit's and the one before
_MOST = 1000  # images and steps of images in the store: some six runs of all tests


def archive(name: str, *, source: Path = ROOT) -> Path:
    """The OCI archive of one of the project's images at `source`'s HEAD. Raises as the build does."""
    repository = Repository(source)
    parts = {part: repository.run("rev-parse", f"HEAD:{part}").strip() for part in PARTS[name]}
    recipe = json.dumps({"name": name, "over": images.image(_BASES[name]).name, "parts": parts}, sort_keys=True)

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.folder(), prefix="project-") as folder:
            clone = Path(folder) / "clone"
            repository.run("clone", "--quiet", "--no-hardlinks", str(source), str(clone))
            built = command("image", "build", name, project=clone, state=Path(folder) / "state")
            buildah("push", built["image"], f"oci-archive:{path}:{built['image']}")

    made = cache.kept(f"project-{name}", recipe, make)
    os.utime(made)
    everything = sorted(made.parent.glob(f"project-{name}-*"), key=lambda path: path.stat().st_mtime)
    for old in everything[:-_KEPT]:
        cache.remove(old)
    return made


def command(*words: str, project: Path, state: Path, code: int = 0) -> dict[str, Any]:
    """`coalmine --json <words>`, with buildah, cosign and syft on the path: what it printed. Raises Broken."""
    line = [sys.executable, "-m", "coalmine.cli", "--json", "--project", str(project), "--state", str(state), *words]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode != code:
        raise Broken(f"coalmine {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return dict(json.loads(done.stdout)) if code == 0 else {"said": done.stdout + done.stderr}


def buildah(*words: str) -> str:
    """Raises Broken with what it says if it fails."""
    done = subprocess.run(["buildah", *words], capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        raise Broken(f"buildah {words[0]}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


def environment() -> dict[str, str]:
    """buildah on a store that lasts, with layers, so that packages are not installed anew for each commit."""
    store = cache.folder() / "project-store"
    store.mkdir(exist_ok=True)
    files = {"storage.conf": f'[storage]\ndriver = "overlay"\ngraphroot = "{store}/root"\nrunroot = "{store}/run"\n'}
    trust = "/etc/ssl/certs/ca-certificates.crt"  # a host that intercepts TLS has its own authority in it
    files["containers.conf"] = f'[containers]\nvolumes = ["{trust}:{trust}:ro"]\nenv = ["PIP_CERT={trust}"]\n'
    for name, text in files.items():
        if not (store / name).exists() or (store / name).read_text() != text:
            (store / name).write_text(text)
    tools = os.pathsep.join(str(engines.binary(name).parent) for name in ("cosign", "syft"))
    return os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "CONTAINERS_STORAGE_CONF": str(store / "storage.conf"),
        "CONTAINERS_CONF": str(store / "containers.conf"),
        "BUILDAH_ISOLATION": "chroot",
        "COSIGN_PASSWORD": "of the bench",
    }


def tidy() -> None:
    """Empty the store of builds when it has become large. Not while something is built."""
    if len(json.loads(buildah("images", "--all", "--json"))) > _MOST:
        buildah("rmi", "--all", "--force")


def bases(names: Sequence[str] = (images.PYTHON, images.DEBIAN)) -> None:
    """Put the bench's base images where builds find them."""
    with cache.locked("project-store"):
        listed = buildah("images", "--json")
        for name in names:
            if f'"{images.manifest(images.image(name))}"' not in listed:
                buildah("pull", f"oci-archive:{images.image(name)}:{name}")
