"""The guides on looking back and ahead can be followed, and their examples are what they are said to be."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from coalmine.judge import explain
from e2e.snippets import Block, blocks

ROOT = Path(__file__).parents[3]
GUIDES = [ROOT / "docs" / "how-to" / name for name in ("backtest.md", "choose-a-policy.md")]
TYPED = [(page, block) for page in GUIDES for block in blocks(page, "console") if block.note == "run"]


def _id(value: object) -> str:
    return value.name if isinstance(value, Path) else value.commands[0][:60] if isinstance(value, Block) else str(value)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), TYPED, ids=_id)
def test_what_a_reader_is_told_to_type_works(page: Path, block: Block, tmp_path: Path) -> None:
    """In a folder that has the examples only; nothing is written but what was asked for."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100"}
    for command in block.commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, f"{page.name}: {command}\n{done.stderr}"
        assert done.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {"docs", "plan.svg"}


def test_every_block_of_the_guides_is_typed() -> None:
    """Else a command could go stale unnoticed."""
    assert len(TYPED) == sum(len(blocks(page, "console")) for page in GUIDES) >= 5


def test_each_finding_has_its_row() -> None:
    """By its id, as `--json` gives it."""
    source = Path(str(explain.__file__)).read_text(encoding="utf-8")
    ids = set(re.findall(r'^ +"([a-z]+(?:-[a-z0-9]+)+)",$|Finding\("([a-z-]+)"', source, re.MULTILINE))
    named = {one or other for one, other in ids}
    page = GUIDES[1].read_text(encoding="utf-8")
    assert len(named) >= 13
    assert not [name for name in named if f"| `{name}` |" not in page]
