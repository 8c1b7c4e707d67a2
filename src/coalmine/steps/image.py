"""The `image` steps: a built Bento, or Coalmine itself, -> an image with its bill of materials and its signature.

What can be the same in two builds is: packages by hash, files and image dated by the commit, code compiled without
dates. The base image is named by tag in `images/*.Containerfile`; give `base` by digest to fix that too.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from coalmine.errors import BadInput, Broken, Missing, Refused
from coalmine.records import Release
from coalmine.release import image as images
from coalmine.release import manifest
from coalmine.release.file import check_image
from coalmine.release.git import Repository
from coalmine.release.image import Builder, Image
from coalmine.release.ledger import Ledger
from coalmine.release.publish import find
from coalmine.settings import Settings
from coalmine.steps import runtime
from coalmine.steps.package import refuse_dirty
from coalmine.steps.tracking import head

# What a cluster runs besides models, each with its lock: built from the project's own clean tree.
OWN = {
    "coalmine": "locks/cluster.txt",
    "steps": "locks/local.txt",
    "airflow": "locks/airflow-cluster.txt",
    "mlflow": "locks/tracking.txt",
    "nginx": "",
}
_BASES = {"serving": "PYTHON", "coalmine": "PYTHON", "airflow": "PYTHON", "mlflow": "PYTHON", "nginx": "DEBIAN"}
_SHORT = 12  # characters of the commit in the tag of an own image


@dataclass(frozen=True, slots=True)
class Subject:
    """What an image is of. `facts` are signed with it; `bento` is a release's."""

    name: str
    version: str
    source: str
    facts: Mapping[str, str]
    bento: Path | None = None

    @property
    def tag(self) -> str:
        """Its name on this machine, before a registry gives it a digest."""
        return f"localhost/{self.name}:{self.version}"

    @property
    def containerfile(self) -> str:
        # The steps' image is Coalmine's with more packages.
        return "serving" if self.bento else {"steps": "coalmine"}.get(self.name, self.name)


def subject(settings: Settings, wanted: str) -> Subject:
    """A release of the project's model (id, version or `latest`), or one of `OWN` at HEAD.

    Raises BadInput for a release that is not known here, Refused where an own image's tree is not clean.
    """
    if wanted in OWN:
        refuse_dirty(settings.project, settings.state)
        sha = head(settings.project)
        return Subject(wanted, sha[:_SHORT], sha, {"model": wanted, "release": sha[:_SHORT], "source": sha})
    record = find(Ledger(settings.database), settings.model, wanted)
    return Subject(record.model, str(record.id), record.git_sha, facts(record), Path(record.bento_path))


def facts(record: Release) -> dict[str, str]:
    """What a release's signature says: its name, and the lineage that its commit's message tells."""
    found = {
        "model": record.model,
        "release": str(record.id),
        "run": record.run_id,
        "dataset": record.dataset_digest,
        "source": record.git_sha,
        "bento": record.bento_digest,
        "environment": record.environment,
    }
    return found | ({"override": " ".join(record.override.split())} if record.override else {})


def build(settings: Settings, of: Subject, *, builder: Builder, base: str = "", wheel: Path | None = None) -> None:
    """Build the image `of.tag` on this machine. `wheel`: Coalmine's, for a Bento that carries none.

    Raises BadInput or Refused (what the Bento carries is not what it says), Broken (the build failed).
    """
    epoch = _epoch(settings.project, of.source)
    with tempfile.TemporaryDirectory(prefix="coalmine-image-") as folder:
        context = Path(folder)
        if of.bento:
            _stage_bento(of.bento, epoch=epoch, wheel=wheel, into=context)
        elif lock := OWN[of.name]:
            _stage_own(settings.project, of.source, lock=lock, into=context)
        builder.build(
            context,
            containerfile(of.containerfile),
            tag=of.tag,
            labels=_labels(of),
            arguments={_BASES[of.containerfile]: base} if base else {},
            epoch=epoch,
        )


def push(settings: Settings, of: Subject, *, builder: Builder, registry: str, insecure: bool = False) -> Image:
    """Push `of.tag` to `<registry>/<name>` and remember the digest that it got."""
    repository = f"{registry.rstrip('/')}/{of.name}"
    check_image(repository, f"sha256:{'0' * 64}", at="--registry")
    digest = builder.push(of.tag, to=f"{repository}:{of.version}", insecure=insecure)
    pushed = Image.parse(f"{repository}@{digest}")
    images.keep(settings, of.name, of.version, image=pushed)
    return pushed


def materials(image: Image, *, into: Path, insecure: bool = False) -> int:
    """Write an image's bill of materials (SPDX, JSON) by syft; returns how many packages it names."""
    program = shutil.which("syft")
    if program is None:
        raise Missing("syft is not installed", remedy="go install github.com/anchore/syft/cmd/syft@v1.57.0")
    into.parent.mkdir(parents=True, exist_ok=True)
    quiet = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}
    plain = {"SYFT_REGISTRY_INSECURE_USE_HTTP": "true", "SYFT_REGISTRY_INSECURE_SKIP_TLS_VERIFY": "true"}
    environ = os.environ | quiet | (plain if insecure else {})
    command = [program, "scan", f"registry:{image}", "--quiet", "--output", f"spdx-json={into}"]
    images.run(command, what="syft", environ=environ)
    return into.read_text(encoding="utf-8").count('"SPDXID":"SPDXRef-Package-')


def containerfile(name: str) -> Path:
    """`<name>.Containerfile`, from the repository or the installed package's copy. Raises Broken without either."""
    here = Path(images.__file__).resolve()
    for folder in (here.parent / "images", here.parents[3] / "images"):
        if (folder / f"{name}.Containerfile").is_file():
            return folder / f"{name}.Containerfile"
    raise Broken(f"no {name}.Containerfile", remedy="reinstall coalmine: its wheel carries them")


def _labels(of: Subject) -> dict[str, str]:
    own = {f"dev.coalmine.{key}": value for key, value in of.facts.items()}
    opened = {"title": of.name, "version": of.version, "revision": of.source}
    return own | {f"org.opencontainers.image.{key}": value for key, value in opened.items()}


def _epoch(project: Path, sha: str) -> int:
    """When the source was committed, in Unix seconds, unless SOURCE_DATE_EPOCH says otherwise."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isascii() and given.isdigit():
        return int(given)
    done = Repository(project).attempt("show", "--no-patch", "--format=%ct", f"{sha}^{{commit}}")
    if done.code:
        raise BadInput(f"commit {sha[:_SHORT]} is not in this clone", where=str(project), remedy="git fetch it")
    return int(done.out)


def _stage_bento(bento: Path, *, epoch: int, wheel: Path | None, into: Path) -> None:
    carried = bento / "src" / "runtime"
    said = manifest.read(bento / "src" / "model")
    locked = carried / runtime.REQUIREMENTS
    if not locked.is_file():
        remedy = "commit locks/serving.txt, or a requirements.txt with hashes in the model's folder, and package again"
        raise BadInput("carries no locked requirements", where=str(bento), remedy=remedy)
    wheels = [wheel] if wheel else sorted(carried.glob("coalmine-*.whl"))
    if len(wheels) != 1:
        remedy = "name Coalmine's wheel with --wheel: this project's tree does not hold Coalmine's own"
        raise BadInput("carries no wheel of coalmine", where=str(bento), remedy=remedy)
    for path, wanted in ((locked, said.requirements), (wheels[0], "" if wheel else said.wheel)):
        if wanted and runtime.digest(path) != wanted:
            raise Refused("is not what the release was packaged with", where=str(path), remedy="package it again")
    shutil.copy(locked, into / runtime.REQUIREMENTS)
    shutil.copy(wheels[0], into)
    left_out = shutil.ignore_patterns("__pycache__", "runtime", "env", "apis", "README.md")
    shutil.copytree(bento, into / "bento", ignore=left_out)
    _dated(into / "bento" / "bento.yaml", epoch)
    _readable(into)


def _stage_own(project: Path, sha: str, *, lock: str, into: Path) -> None:
    found = runtime.carry(project, sha, into=into / "runtime", locks=(lock,))
    lacking = [name for name, digest in found.items() if not digest]
    if lacking:
        remedy = "build it in a clone of Coalmine itself"
        raise BadInput(f"commit {sha[:_SHORT]} has no {' and no '.join(lacking)}", where=str(project), remedy=remedy)
    for path in (into / "runtime").iterdir():
        path.rename(into / path.name)
    _readable(into)


def _dated(path: Path, epoch: int) -> None:
    """The one line of a Bento that differs between two builds of the same commit."""
    when = datetime.fromtimestamp(epoch, UTC).isoformat()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    told = (f"creation_time: '{when}'\n" if line.startswith("creation_time:") else line for line in lines)
    path.write_text("".join(told), encoding="utf-8")


def _readable(folder: Path) -> None:
    """Whatever the umask was: the image's user is neither root nor whoever builds."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
