"""docs/reference/commands.md from the Typer application. `python tests/unit/docs/commands.py` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from coalmine.cli import app

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"
_HEAD = """\
# Commands

Written from the program itself: `.venv/bin/python tests/unit/docs/commands.py` writes this page anew, and a test fails
where it is out of date.

Global options stand before the command's name: `coalmine --json status`. Results go to standard output, progress and
errors to standard error. [Exit codes](exit-codes.md) are the same for all commands.
"""


Parameter = TyperArgument | TyperOption


def command() -> TyperGroup:
    """The whole command line as Typer built it."""
    found = typer.main.get_command(app)
    assert isinstance(found, TyperGroup)
    return found


def parameters(found: TyperGroup | TyperCommand) -> list[Parameter]:
    return [item for item in found.params if isinstance(item, TyperArgument | TyperOption)]


def walk(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    """Every command with its words after `coalmine`, groups left out."""
    for name, found in group.commands.items():
        if isinstance(found, TyperGroup):
            yield from walk(found, (*path, name))
        elif isinstance(found, TyperCommand):
            yield (*path, name), found


def render() -> str:
    """The page as it should be."""
    top = command()
    parts = [_HEAD, "## Global options\n\n" + _table(top)]
    parts += [f"## `coalmine {' '.join(path)}`\n\n{_help(found)}\n{_table(found)}" for path, found in walk(top)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _help(found: TyperCommand) -> str:
    return " ".join((found.help or "").split()) + "\n"


def _table(found: TyperGroup | TyperCommand) -> str:
    rows = [_row(item) for item in parameters(found) if "completion" not in str(item.name)]
    if not rows:
        return ""
    return "\n".join(["| argument or option | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _row(item: Parameter) -> str:
    named = isinstance(item, TyperOption)
    name = ", ".join([*item.opts, *item.secondary_opts]) if named else str(item.name).upper()
    default = "required" if item.required else _default(item.default)
    return f"| `{name}` | {default} | {' '.join((item.help or '').split()).replace('|', '/')} |"


def _default(value: object) -> str:
    if value is None or value == "" or callable(value):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
