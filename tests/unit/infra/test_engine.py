"""`make test-infra` without an engine says that it was left out, and why, and fails nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "infra" / "run.py"


def test_without_an_engine_it_is_skipped_aloud(tmp_path: Path) -> None:
    """A PATH on which there is nothing."""
    environment = {"PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "skipped: there is no pulumi on the PATH" in done.stdout
