"""`coalmine new` writes a model whole or not at all, and its template is the examples by another name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from coalmine.cli import app
from coalmine.errors import BadInput, Refused
from coalmine.new.make import COMMON, TEMPLATES, files, new
from coalmine.new.names import LONGEST, check
from coalmine.settings import load
from coalmine.steps.workload import Task

ROOT = Path(__file__).parents[3]
# Of the examples these are their own; all else is the template's, word for word.
OWN_OF_SENTIMENT = {"flagger/sentiment/policy.yaml"}
OWN_OF_DIABETES = {"bentos/diabetes/data.py", "bentos/diabetes/fields.yaml", "bentos/diabetes/gates.yaml"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "gitops" / "clusters" / "kind").mkdir(parents=True)
    (tmp_path / "gitops" / "clusters" / "kind" / "kustomization.yaml").touch()
    return tmp_path


@pytest.mark.parametrize("name", ["a", "delivery", "x2", "a" * LONGEST])
def test_letters_and_digits_are_a_name(name: str) -> None:
    assert check(name) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *[(name, "no model's name") for name in ("", "A", "a_b", "a-b", "2a", "a.b", "ä", "a\n", "a" * 41)],
        *[(name, "something else") for name in ("coalmine", "monitoring", "model")],
        *[(name, "name of Python's") for name in ("json", "numpy", "secrets", "pytest", "class")],
    ],
)
def test_another_name_is_refused(name: str, said: str) -> None:
    """Also what would be imported in a package's place."""
    with pytest.raises(BadInput, match=said):
        check(name)


@pytest.mark.parametrize("task", list(Task))
def test_nothing_of_the_templates_own_name_is_left(task: Task) -> None:
    found = files("delivery", task, clusters=frozenset({"kind", "production"}))
    assert [at for at, text in found.items() if "modelname" in (at + text).lower()] == []
    assert "tests/models/test_delivery.py" in found
    assert all(yaml.safe_load_all(text) for at, text in found.items() if at.endswith(".yaml"))


def test_only_clusters_that_there_are_get_manifests(project: Path) -> None:
    new(project, "mine", task=Task.REGRESSION)
    assert (project / "gitops/apps/mine/overlays/kind").is_dir()
    assert not (project / "gitops/apps/mine/overlays/production").exists()
    assert [at for at in files("mine", Task.REGRESSION, clusters=frozenset()) if at.startswith("gitops")] == []


def test_again_it_writes_only_what_is_missing(project: Path) -> None:
    """As after a crash; and one model is the only one, so that no setting is needed."""
    first = new(project, "mine", task=Task.CLASSIFICATION)
    lost = project / "bentos" / "mine" / "training.py"
    lost.unlink()
    again = new(project, "mine", task=Task.CLASSIFICATION)
    assert again.written == ("bentos/mine/training.py",)
    assert set(again.there) | set(again.written) == set(first.written)
    assert load(project=project, environ={}).model == "mine"


def test_what_somebody_has_changed_is_never_overwritten(project: Path) -> None:
    """And nothing else is written then."""
    new(project, "mine", task=Task.CLASSIFICATION)
    mine = project / "bentos" / "mine" / "data.py"
    mine.write_text("mine = 1\n")
    (project / "bentos" / "mine" / "training.py").unlink()
    with pytest.raises(Refused, match=r"bentos/mine/data\.py of the model 'mine' is there"):
        new(project, "mine", task=Task.CLASSIFICATION)
    assert mine.read_text() == "mine = 1\n"
    assert not (project / "bentos" / "mine" / "training.py").exists()


def test_the_command_teaches_what_to_do_next(project: Path) -> None:
    done = CliRunner().invoke(app, ["--project", str(project), "new", "mine", "--task", "regression"])
    assert done.exit_code == 0
    assert "COALMINE_MODEL=mine" in done.output
    told = CliRunner().invoke(app, ["--json", "--project", str(project), "new", "mine", "--task", "regression"])
    assert json.loads(told.output)["written"] == []


def manifests() -> list[str]:
    found = (path for path in (TEMPLATES / COMMON).rglob("*") if path.is_file())
    texts = [path.relative_to(TEMPLATES / COMMON).as_posix() for path in found]
    return sorted(at for at in texts if not at.startswith(("bentos/", "tests/")))


@pytest.mark.parametrize("at", manifests())
def test_the_manifests_are_those_of_the_example(at: str) -> None:
    """What runs the example in a cluster, and is tested there, is what a new model gets."""
    there = at.replace("modelname", "sentiment")
    if there not in OWN_OF_SENTIMENT:
        text = (TEMPLATES / COMMON / at).read_text().replace("modelname", "sentiment")
        assert text == (ROOT / there).read_text()


@pytest.mark.parametrize(("at", "text"), files("diabetes", Task.REGRESSION, clusters=frozenset({"kind"})).items())
def test_the_second_example_is_made_with_the_template(at: str, text: str) -> None:
    """Its data, fields and gates are its own, and all else is as generated."""
    assert ((ROOT / at).read_text() == text) == (at not in OWN_OF_DIABETES)
