"""Which model is meant, where there are several."""

from __future__ import annotations

from pathlib import Path

import pytest

from coalmine.errors import BadInput
from coalmine.settings import load


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        (tmp_path / "bentos" / name).mkdir(parents=True)
        (tmp_path / "bentos" / name / "service.py").touch()
    return tmp_path


def test_the_nearest_word_names_the_model(project: Path) -> None:
    """The environment before coalmine.toml, that before pyproject.toml; of several none is taken by chance."""
    with pytest.raises(BadInput, match=r"3 models(?s:.*)COALMINE_MODEL"):
        load(project=project, environ={})
    (project / "pyproject.toml").write_text('[tool.coalmine]\nmodel = "a"\n')
    assert load(project=project, environ={}).model == "a"
    (project / "coalmine.toml").write_text('model = "b"\n')
    assert load(project=project, environ={}).model == "b"
    assert load(project=project, environ={"COALMINE_MODEL": "c"}).model == "c"


@pytest.mark.parametrize(("text", "said"), [("[tool.coalmine]\nstate = 1", "unknown key 'state'"), ("[", "as TOML")])
def test_a_wrong_pyproject_is_named(project: Path, text: str, said: str) -> None:
    (project / "pyproject.toml").write_text(text)
    with pytest.raises(BadInput, match=rf"pyproject\.toml(?s:.*){said}"):
        load(project=project, environ={})
