"""The README's first command, told in a clone as a newcomer would see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coalmine.local import process, up
from coalmine.local.controller import run_folder
from coalmine.local.scene import free_base
from coalmine.settings import load
from e2e.runtime import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def test_the_demo_comes_out_as_it_must_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Four verdicts, nothing lost, no commit in the user's checkout, no process afterwards."""
    project = tmp_path / "project"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    head = _head(project)
    env = {**os.environ, "COALMINE_PORT_BASE": str(free_base(24443))}
    done = subprocess.run(
        [sys.executable, "-m", "coalmine.cli", "demo"],
        cwd=project, env=env, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((project / ".coalmine" / "demo" / "summary.json").read_text())
    verdicts = [(row["version"], row["verdict"]) for row in summary["releases"]]
    assert verdicts == [(1, "first_release"), (2, "promoted"), (3, "rolled_back"), (4, "rolled_back")]
    assert [row["lost"] for row in summary["releases"]] == [0, 0, 0, 0]
    assert [row["alias"] for row in summary["releases"]] == [1, 2, 2, 2]
    assert [row["failed"] for row in summary["releases"][:3]] == [0, 0, 0], "only v4 fails, and it must"
    assert summary["releases"][3]["failed"] > 0
    assert all(Path(row["report"]).is_file() for row in summary["releases"])
    assert _head(project) == head
    assert subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, check=True).stdout == b""
    settings = load(project=project / ".coalmine/demo/checkout", state=project / ".coalmine/demo/state", environ=env)
    names = (up.CONTROLLER, *up.ORDER)
    assert not [name for name in names if process.alive(process.read(run_folder(settings), name))]


def _head(project: Path) -> str:
    command = ["git", "-C", str(project), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
