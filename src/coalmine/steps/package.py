"""A registered version -> a built Bento: the model's folder at HEAD, and in `src/model/` what was trained.

<bento>/src/service.py and the rest of bentos/<model>/ as committed
<bento>/src/model/pipeline.joblib     the fitted scikit-learn pipeline
<bento>/src/runtime/                  what an image installs: see coalmine.steps.runtime
<bento>/src/model/release.json        release, model, version, run_id, dataset_digest, snapshot, git_sha, environment;
                                      under which python, numpy and sklearn it was pickled; what `runtime/` holds
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coalmine.errors import BadInput, Broken, Refused, Temporary
from coalmine.records import ModelVersion, Release, ReleaseId
from coalmine.release.git import Repository
from coalmine.release.manifest import installed
from coalmine.settings import Settings
from coalmine.steps import runtime
from coalmine.steps.register import find_version
from coalmine.steps.tracking import TAG, calling_mlflow, connect, head

_SECONDS = 120
# For `bentoml` and its tools; an image installs the locked `runtime/requirements.txt`.
_PACKAGES = ("bentoml", "scikit-learn", "numpy", "scipy", "joblib", "pydantic", "pyyaml")
_SHORT = 7  # characters of the commit in a release id


@calling_mlflow()
def package(settings: Settings, version: ModelVersion | int | str = "candidate") -> Release:
    """Build the Bento of a version (a record, a number or an alias) from the clean source tree; or find it built.

    Raises:
        Refused: the source tree differs from its commit, or the pipeline needs code that the service lacks.
        BadInput: no such version, or no service in the model's folder.
        Temporary: the build took too long. Broken: BentoML failed; its last words are in the message.
    """
    refuse_dirty(settings.project, settings.state)
    sha = head(settings.project)
    chosen = version if isinstance(version, ModelVersion) else find_version(settings, version)
    release = ReleaseId(chosen.version, sha[:_SHORT])
    path = settings.bentoml_home / "bentos" / chosen.model / str(release)
    if not (path / "bento.yaml").is_file():
        with tempfile.TemporaryDirectory(prefix="coalmine-bento-") as folder:
            context = Path(folder)
            _sources(settings.project, chosen.model, sha, into=context)
            locks = runtime.locks_of(chosen.model)
            carried = runtime.carry(settings.project, sha, into=context / "runtime", locks=locks)
            _model(settings, chosen, release, sha=sha, into=context / "model", carried=carried)
            _build(settings, chosen, release, labels=_labels(chosen, sha), context=context)
    _tell_registry(connect(settings).MlflowClient(), chosen, release)
    return Release(
        model=chosen.model,
        id=release,
        run_id=chosen.run_id,
        dataset_digest=chosen.dataset_digest,
        git_sha=sha,
        environment=chosen.environment,
        bento_tag=f"{chosen.model}:{release}",
        bento_path=str(path),
        bento_digest=digest(path),
        created=(path / "bento.yaml").stat().st_mtime,
        override=chosen.override,
        snapshot=chosen.snapshot,
    )


def refuse_dirty(project: Path, state: Path) -> None:
    """A release names a commit: what is built must be that commit. The state folder does not count.

    Raises: Refused; BadInput where there is no commit at all.
    """
    head(project)
    spared = {".coalmine", str(state.relative_to(project)) if state.is_relative_to(project) else ".coalmine"}
    excluded = [f":(exclude){path}" for path in sorted(spared)]
    arguments = ("status", "--porcelain", "--untracked-files=normal", "--", ".", *excluded)
    changed = [line for line in Repository(project).run(*arguments).splitlines() if line]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        names = ", ".join(line[3:] for line in changed[:3])
        raise Refused(
            f"the source tree differs from its commit: {names}{more}",
            where=str(project),
            remedy="commit the changes or put them away with `git stash -u`",
        )


def _sources(project: Path, model: str, sha: str, *, into: Path) -> None:
    """The model's folder as committed: not from the work tree, which may change while it is read."""
    command = ["git", "-C", str(project), "archive", "--format=tar", f"{sha}:./bentos/{model}"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    if done.returncode:
        raise BadInput(
            f"bentos/{model} is not in commit {sha[:_SHORT]}", where=str(project), remedy="commit the model's folder"
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        tar.extractall(into, filter="data")
    if not (into / "service.py").is_file():
        raise BadInput("no service.py", where=f"bentos/{model}", remedy="see bentos/sentiment/service.py")
    for taken, what in (("model", "the trained model goes"), ("runtime", "what an image installs goes")):
        if (into / taken).exists():
            raise BadInput(f"`{taken}/` is where {what}", where=f"bentos/{model}", remedy="rename yours")


def _model(
    settings: Settings,
    version: ModelVersion,
    release: ReleaseId,
    *,
    sha: str,
    into: Path,
    carried: Mapping[str, str],
) -> None:
    mlflow = connect(settings)
    import joblib  # noqa: PLC0415 (heavy)

    pipeline = mlflow.sklearn.load_model(f"models:/{version.model}/{version.version}")
    into.mkdir()
    joblib.dump(pipeline, into / "pipeline.joblib")
    # The folder's modules have a made-up package name while training; the service could not import it.
    if b"_coalmine_model_" in (into / "pipeline.joblib").read_bytes():
        raise Refused(
            "the pipeline needs functions or classes of the model's folder",
            where=f"{version.model} version {version.version}",
            remedy="build it from scikit-learn's own classes, see bentos/sentiment/features.py",
        )
    facts = {
        "release": str(release),
        "model": version.model,
        "version": version.version,
        "run_id": version.run_id,
        "dataset_digest": version.dataset_digest,
        "git_sha": sha,
        "environment": version.environment,
        "snapshot": version.snapshot,
        **carried,
        **installed(),
    }
    (into / "release.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _tell_registry(client: Any, version: ModelVersion, release: ReleaseId) -> None:
    """So that run and version lead on to the release; the newest one, where a version is packaged again."""
    client.set_tag(version.run_id, TAG + "release", str(release))
    client.set_model_version_tag(version.model, str(version.version), TAG + "release", str(release))


def _labels(version: ModelVersion, sha: str) -> dict[str, str]:
    labels = {
        "model": version.model,
        "version": str(version.version),
        "run": version.run_id,
        "dataset": version.dataset_digest,
        "git_sha": sha,
        "trained_at": version.git_sha,
        "environment": version.environment,
    }
    told = {"override": version.override, "snapshot": version.snapshot}
    return labels | {name: value for name, value in told.items() if value}


def _build(
    settings: Settings, version: ModelVersion, release: ReleaseId, *, labels: Mapping[str, str], context: Path
) -> None:
    order = {
        "service": "service.py",
        "name": version.model,
        "version": str(release),
        "labels": labels,
        "packages": [f"{name}=={importlib.metadata.version(name)}" for name in _PACKAGES],
        "context": str(context),
    }
    settings.bentoml_home.mkdir(parents=True, exist_ok=True)
    # Without `no_image` BentoML looks for uv, and installs it by itself, even where nothing is to be locked.
    own = {"BENTOML_HOME": str(settings.bentoml_home), "BENTOML_ENABLE_FEATURES": "no_image"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "coalmine.steps.bento"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            cwd=context,
            env=os.environ | own | {"BENTOML_DO_NOT_TRACK": "true"},
        )
    except subprocess.TimeoutExpired as error:
        raise Temporary(f"BentoML was not done after {_SECONDS} s", where=str(release)) from error
    path = settings.bentoml_home / "bentos" / version.model / str(release)
    # A second `package` at the same time may have been first; either build is the same release.
    if done.returncode and not (path / "bento.yaml").is_file():
        _, _, said = done.stderr.strip().rpartition("\n  ")  # what follows a traceback's last indented line
        words = " ".join(said.split("\n", maxsplit=1)[-1].split())
        raise Broken(
            f"BentoML could not build it: {words or 'it said nothing'}", where=f"bentos/{version.model}/service.py"
        )


def digest(bento: Path) -> str:
    """sha256 over the names and contents of a Bento's files, but for the time at which it was built."""
    total = hashlib.sha256()
    for path in sorted(item for item in bento.rglob("*") if item.is_file() and "__pycache__" not in item.parts):
        content = path.read_bytes()
        if path == bento / "bento.yaml":
            content = b"".join(
                line for line in content.splitlines(keepends=True) if not line.startswith(b"creation_time:")
            )
        total.update(f"{path.relative_to(bento)}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()
