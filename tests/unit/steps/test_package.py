"""A release names a commit, so what is built must be that commit; the digest is of the files, not of the time."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from coalmine.errors import BadInput, Refused
from coalmine.settings import Settings
from coalmine.steps.package import digest, refuse_dirty


def test_a_clean_tree_passes_and_the_state_folder_does_not_count(settings: Settings) -> None:
    for folder in (settings.state, settings.project / "elsewhere"):
        folder.mkdir()
        (folder / "mlflow.db").write_text("")
    refuse_dirty(settings.project, settings.project / "elsewhere")


@pytest.mark.parametrize("name", ["bentos/toy/service.py", "new.txt"])
def test_a_changed_or_new_file_is_named_with_what_to_do(settings: Settings, name: str) -> None:
    (settings.project / name).write_text("changed")
    with pytest.raises(Refused, match=rf"(?s)differs from its commit: {name}.*git stash"):
        refuse_dirty(settings.project, settings.state)


def test_many_changes_are_counted(settings: Settings) -> None:
    for number in range(5):
        (settings.project / f"{number}.txt").write_text("")
    with pytest.raises(Refused, match=r"0\.txt, 1\.txt, 2\.txt and 2 more"):
        refuse_dirty(settings.project, settings.state)


def test_a_project_without_a_commit_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no git commit"):
        refuse_dirty(tmp_path, tmp_path / ".coalmine")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(BadInput, match="no git commit"):
        refuse_dirty(tmp_path, tmp_path / ".coalmine")


def test_a_project_in_a_folder_of_a_repository_is_judged_by_itself(
    settings: Settings, commit: Callable[[Path, str], str]
) -> None:
    inner = settings.project / "inner"
    inner.mkdir()
    (inner / "file.txt").write_text("")
    commit(settings.project, "a folder")
    (settings.project / "outside.txt").write_text("")
    (inner / ".coalmine").mkdir()
    (inner / ".coalmine" / "state.db").write_text("")
    refuse_dirty(inner, inner / ".coalmine")


def test_the_digest_sees_names_and_contents_but_not_the_time(tmp_path: Path) -> None:
    def bento(name: str, *, time: str, file: str = "a", content: str = "x") -> str:
        folder = tmp_path / name
        (folder / "src").mkdir(parents=True)
        (folder / "bento.yaml").write_text(f"name: toy\ncreation_time: '{time}'\n")
        (folder / "src" / file).write_text(content)
        return digest(folder)

    first = bento("1", time="2026-01-01")
    assert bento("2", time="2026-01-02") == first
    assert len({first, bento("3", time="2026-01-01", file="b"), bento("4", time="2026-01-01", content="y")}) == 3
