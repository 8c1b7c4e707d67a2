"""The workflows by actionlint, which knows GitHub's schema and expressions; scripts by shellcheck."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cluster.engines import binary
from unit.workflows.read import ROOT, files


def shellcheck() -> str:
    found = shutil.which("shellcheck")
    if found is None:
        pytest.fail("no shellcheck on this machine: apt-get install shellcheck")
    return found


def lint(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [str(binary("actionlint")), "-no-color", "-shellcheck", shellcheck(), "-pyflakes", "", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_actionlint_finds_nothing() -> None:
    """Schema, expressions, contexts, events, runners, and the shell in `run`."""
    done = lint(*files())
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("text", "wrong"), [("timeout-minutes: 15", "timeout-minute: 15"), ("make lint types", 'make $lint "types')]
)
def test_actionlint_finds_what_is_wrong(tmp_path: Path, text: str, wrong: str) -> None:
    """A key that is not there, a script that the shell cannot read."""
    copy = tmp_path / "ci.yml"
    whole = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert text in whole
    copy.write_text(whole.replace(text, wrong), encoding="utf-8")
    assert lint(copy).returncode == 1


def test_shellcheck_finds_nothing_in_the_scripts() -> None:
    """Those that workflows call."""
    paths = [str(path) for path in (ROOT / ".github" / "scripts").iterdir()]
    done = subprocess.run([shellcheck(), *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
