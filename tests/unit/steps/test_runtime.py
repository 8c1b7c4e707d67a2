"""A Bento carries what its image installs, from the commit and from nothing else."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from coalmine.release.git import Repository
from coalmine.settings import Settings
from coalmine.steps import runtime

ROOT = Path(__file__).parents[3]


@pytest.fixture
def coalmine(tmp_path: Path) -> Path:
    """A clone of this repository at HEAD."""
    clone = tmp_path / "clone"
    Repository(ROOT).run("clone", "--quiet", "--depth=1", f"file://{ROOT}", str(clone))
    return clone


def head(project: Path) -> str:
    return Repository(project).run("rev-parse", "HEAD").strip()


def test_the_wheel_is_of_the_commit_and_the_same_each_time(
    coalmine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies uncommitted in the tree is not in it, and no date of the day is."""
    sha = head(coalmine)
    (coalmine / "src" / "coalmine" / "uncommitted.py").write_text("")
    first = runtime.carry(coalmine, sha, into=tmp_path / "1", locks=runtime.locks_of("sentiment"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert runtime.carry(coalmine, sha, into=tmp_path / "2", locks=runtime.locks_of("sentiment")) == first
    (wheel,) = (tmp_path / "1").glob("*.whl")
    assert runtime.digest(wheel) == first["wheel"]
    held = zipfile.ZipFile(wheel).namelist()
    assert "coalmine/release/serve.py" in held
    assert "coalmine/release/images/serving.Containerfile" in held
    assert "coalmine/uncommitted.py" not in held


def test_every_requirement_has_a_hash(coalmine: Path, tmp_path: Path) -> None:
    runtime.carry(coalmine, head(coalmine), into=tmp_path / "1", locks=("locks/serving.txt",))
    text = (tmp_path / "1" / runtime.REQUIREMENTS).read_text()
    pinned = [line for line in text.splitlines() if line[:1].isalnum()]
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert {"bentoml", "scikit-learn", "uvicorn"} <= {line.partition("==")[0] for line in pinned}
    assert "mlflow==" not in text


def test_a_project_that_only_uses_coalmine_carries_no_wheel(
    settings: Settings, commit: Callable[[Path, str], str], tmp_path: Path
) -> None:
    """Its own lock is carried; without one nothing is."""
    project = settings.project
    nothing = runtime.carry(project, head(project), into=tmp_path / "1", locks=runtime.locks_of("toy"))
    assert nothing == {"wheel": "", "requirements": ""}
    (project / "bentos" / "toy" / "requirements.txt").write_text("numpy==2.0.0 --hash=sha256:00\n")
    (project / "pyproject.toml").write_text('[project]\nname = "shop"\n')
    commit(project, "lock")
    own = runtime.carry(project, head(project), into=tmp_path / "2", locks=runtime.locks_of("toy"))
    assert (own["wheel"], bool(own["requirements"])) == ("", True)
    assert (tmp_path / "2" / runtime.REQUIREMENTS).read_text() == "numpy==2.0.0 --hash=sha256:00\n"
