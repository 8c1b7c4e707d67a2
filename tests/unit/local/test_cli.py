"""The command line: results for machines, sentences for mistakes, exit codes as documented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GOLDEN = "tests/unit/judge/golden.json"


def coalmine(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coalmine.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("arguments", [("--json", "judge", "check", GOLDEN), ("judge", "check", GOLDEN, "--json")])
def test_json_may_stand_anywhere(arguments: tuple[str, ...]) -> None:
    done = coalmine(*arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["largest_difference"] <= 1e-6


def test_a_mistake_is_a_sentence_with_its_remedy_and_exit_code() -> None:
    """The same for people and, as JSON, for machines; never a traceback."""
    done = coalmine("backtest", "--polls", "nowhere.jsonl", "--policy", "nowhere.yaml", "--json")
    assert done.returncode == 2
    assert "remedy:" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["kind"] == "BadInput"


def test_a_wrong_value_in_a_golden_file_is_found(tmp_path: Path) -> None:
    golden = json.loads((ROOT / GOLDEN).read_text())
    golden[0]["expect"][0]["log_e_rollback"] += 0.001
    (tmp_path / "golden.json").write_text(json.dumps(golden))
    assert coalmine("judge", "check", str(tmp_path / "golden.json")).returncode == 1
