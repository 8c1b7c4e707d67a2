"""What the documentation says can be followed: links lead somewhere, commands exist, snippets can be read."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.core import TyperArgument, TyperCommand, TyperGroup

from e2e.snippets import Block, blocks
from unit.docs.commands import command, parameters

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *ROOT.glob("CONTRIBUTING.md"), *sorted((ROOT / "docs").rglob("*.md"))]
SNIPPETS = [(page, block) for page in PAGES for block in blocks(page)]
COMMANDS = [(page, line) for page, block in SNIPPETS if block.kind == "console" for line in block.commands]

_LINK = re.compile(r"\[[^\]]*\]\((?P<to>[^)\s]+)\)")


def _name(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)[:60]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file or folder of the repository, and a heading of it where it names one."""
    for found in _LINK.finditer(page.read_text(encoding="utf-8")):
        path, _, heading = found["to"].partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), found[0]
        assert not heading or heading in _headings(target), found[0]


def _headings(page: Path) -> set[str]:
    lines = [line.lstrip("# ") for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in lines}


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=_name)
def test_commands_exist(page: Path, line: str) -> None:
    """`coalmine` is given commands, options and arguments that it has; `make` targets that there are."""
    words = shlex.split(re.sub(r"\$\(.*\)", "substituted", line), comments=True)
    for place, word in enumerate(words):
        if word == "coalmine" and (not place or "=" in words[place - 1]):
            problem = _wrong(command(), words[place + 1 :])
            assert not problem, f"{_name(page)}: {line}: {problem}"
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE) for target in words[1:]), line


def _wrong(group: TyperGroup, words: list[str]) -> str:
    """What is wrong with the words after `coalmine`; empty where nothing is."""
    found: TyperGroup | TyperCommand = group
    arguments, rest = 0, list(words)
    while rest and rest[0] not in ("|", ">", "&", "&&"):
        word = rest.pop(0)
        options = {name: item for item in parameters(found) for name in (*item.opts, *item.secondary_opts)}
        if word.startswith("-"):
            if word not in options:
                return f"no option {word}"
            if not getattr(options[word], "is_flag", False):
                rest = rest[1:]
        elif isinstance(found, TyperGroup):
            inner = found.commands.get(word)
            if not isinstance(inner, TyperGroup | TyperCommand):
                return f"no command {word}"
            found = inner
        else:
            arguments += 1
    known = [item for item in parameters(found) if isinstance(item, TyperArgument)]
    least = sum(item.required for item in known)
    return "" if least <= arguments <= len(known) else f"{arguments} arguments instead of {least} to {len(known)}"


@pytest.mark.parametrize(
    "line", ["relase 1", "release", "release 1 2", "up --detached", "judge srve", "down now", "release 1 --faults x=1"]
)
def test_a_command_that_is_not_there_is_noticed(line: str) -> None:
    """The check above can fail."""
    assert _wrong(command(), line.split())


@pytest.mark.parametrize(
    ("page", "block"), [(p, b) for p, b in SNIPPETS if b.kind not in ("", "console", "javascript")], ids=_name
)
def test_snippets_can_be_read(page: Path, block: Block) -> None:
    """YAML, JSON and TOML parse, Python compiles; a block of another kind is not allowed, since nothing checks it."""
    readers: dict[str, Callable[[str], object]] = {
        "json": json.loads,
        "python": lambda text: compile(text, _name(page), "exec"),
        "toml": tomllib.loads,
        "yaml": yaml.safe_load,
    }
    assert readers[block.kind](block.text) is not None


@pytest.mark.parametrize("block", [b for _, b in SNIPPETS if b.kind == "javascript"], ids=_name)
def test_javascript_can_be_read(block: Block, tmp_path: Path) -> None:
    """Node takes it for a module."""
    (tmp_path / "snippet.mjs").write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        ["node", "--check", str(tmp_path / "snippet.mjs")], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
