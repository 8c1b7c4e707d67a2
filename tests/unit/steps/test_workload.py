"""A model's folder is loaded by path, and what is wrong with it is said with its file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coalmine.errors import BadInput
from coalmine.settings import Settings
from coalmine.steps.workload import load_workload, sibling


def test_a_model_without_a_workload_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"bentos/none/workload\.py: model 'none' has no workload"):
        load_workload(tmp_path, "none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def (", "SyntaxError"),
        ("workload = 3", "lacks labels, domains, rows, fit"),
    ],
)
def test_a_broken_workload_names_its_file_and_what_is_wrong(settings: Settings, text: str, said: str) -> None:
    (settings.project / "bentos" / "toy" / "workload.py").write_text(text)
    with pytest.raises(BadInput, match=rf"(?s)workload\.py.*{said}"):
        load_workload(settings.project, "toy")


def test_labels_are_two_or_none(settings: Settings) -> None:
    """None of them means a number; one, or three, is a mistake."""
    path = settings.project / "bentos" / "toy" / "workload.py"
    path.write_text(path.read_text().replace('labels = ("no", "yes")', 'labels = ("no", "yes", "maybe")'))
    with pytest.raises(BadInput, match=r"labels` has 3 names(?s:.*)none where a number"):
        load_workload(settings.project, "toy")


def test_two_projects_in_one_process_do_not_see_each_others_modules(
    make_project: Callable[[Path], Settings], tmp_path: Path
) -> None:
    projects = [make_project(tmp_path / name).project for name in ("a", "b")]
    for project in projects:
        (project / "bentos" / "toy" / "where.py").write_text(f"PLACE = {project.name!r}")
    assert [sibling(project, "toy", "where").PLACE for project in projects] == ["a", "b"]


def test_a_missing_neighbour_is_named(settings: Settings) -> None:
    with pytest.raises(BadInput, match="no module replay"):
        sibling(settings.project, "toy", "replay")


def test_the_steps_are_imported_without_what_is_heavy() -> None:
    """`coalmine --help` and every worker would pay seconds and 200 MB for it."""
    names = "collect, train, evaluate, register, package, bento, gates, tracking, workload"
    heavy = "mlflow", "sklearn", "bentoml", "pandas", "pyarrow", "numpy", "joblib"
    code = f"import sys; from coalmine.steps import {names}; print(*set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
