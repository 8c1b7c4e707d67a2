"""What a built Bento says of itself: `src/model/release.json`, written by the package step, read where it is served."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import BadInput, Refused
from coalmine.records import ReleaseId

NAME = "release.json"
_DISTRIBUTIONS = {"numpy": "numpy", "sklearn": "scikit-learn"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """`environment` maps python, numpy and sklearn to the versions that the model was trained and pickled under.

    `wheel` and `requirements` are the sha256 of what an image installs, empty in a Bento that carries neither.
    """

    release: ReleaseId
    model: str
    version: int
    run_id: str
    dataset_digest: str
    git_sha: str
    environment: Mapping[str, str]
    wheel: str = ""
    requirements: str = ""


def read(folder: Path) -> Manifest:
    """Read `<folder>/release.json`. Raises BadInput naming the file and the field."""
    path = folder / NAME
    remedy = "build the Bento with `coalmine package`"
    try:
        row = json.loads(path.read_bytes())
        return Manifest(
            release=ReleaseId.parse(row["release"]),
            model=str(row["model"]),
            version=int(row["version"]),
            run_id=str(row["run_id"]),
            dataset_digest=str(row["dataset_digest"]),
            git_sha=str(row["git_sha"]),
            environment={name: str(row[name]) for name in ("python", *_DISTRIBUTIONS)},
            wheel=str(row.get("wheel", "")),
            requirements=str(row.get("requirements", "")),
        )
    except KeyError as error:
        raise BadInput(f"{error.args[0]} is missing", where=str(path), remedy=remedy) from error
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(str(error), where=str(path), remedy=remedy) from error


def installed() -> dict[str, str]:
    """The versions of this process, under the names that a manifest uses."""
    found = {name: importlib.metadata.version(distribution) for name, distribution in _DISTRIBUTIONS.items()}
    return {"python": platform.python_version(), **found}


def check_environment(manifest: Manifest, here: Mapping[str, str]) -> None:
    """Raises Refused where the model was pickled under other versions: it might load and answer differently.

    Of Python the minor version counts: pickles and compiled code are the same in all its patch releases, and an image's
    base brings security fixes that the machine that trained has not.
    """
    other = [
        f"{name} {wanted} (here {here.get(name, 'none')})"
        for name, wanted in manifest.environment.items()
        if _as_compared(name, here.get(name, "")) != _as_compared(name, wanted)
    ]
    if other:
        raise Refused(
            f"{manifest.release} was trained under {', '.join(other)}",
            where=NAME,
            remedy="install those versions, or train and package the model again under these",
        )


def _as_compared(name: str, version: str) -> str:
    return ".".join(version.split(".")[:2]) if name == "python" else version
