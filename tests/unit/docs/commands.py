"""docs/reference/commands.md from the Typer application. `python tests/unit/docs/commands.py` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import typer.main

from coalmine.cli import app

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"
_HEAD = """\
# Commands

Written from the program itself: `.venv/bin/python tests/unit/docs/commands.py` writes this page anew, and a test fails
where it is out of date.

Global options stand before the command's name: `coalmine --json status`. Results go to standard output, progress and
errors to standard error. [Exit codes](exit-codes.md) are the same for all commands.
"""


def command() -> click.Group:
    """The whole command line as click sees it."""
    found = typer.main.get_command(app)
    assert isinstance(found, click.Group)
    return found


def walk(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words after `coalmine`, groups left out."""
    for name, found in group.commands.items():
        if isinstance(found, click.Group):
            yield from walk(found, (*path, name))
        else:
            yield (*path, name), found


def render() -> str:
    """The page as it should be."""
    top = command()
    parts = [_HEAD, "## Global options\n\n" + _table(top)]
    parts += [f"## `coalmine {' '.join(path)}`\n\n{_help(found)}\n{_table(found)}" for path, found in walk(top)]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _help(found: click.Command) -> str:
    return " ".join((found.help or "").split()) + "\n"


def _table(found: click.Command) -> str:
    rows = [row for parameter in found.params if (row := _row(parameter))]
    if not rows:
        return ""
    return "\n".join(["| argument or option | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _row(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        name, about = str(parameter.name).upper(), str(getattr(parameter, "help", "") or "")
    elif isinstance(parameter, click.Option) and not parameter.hidden:
        name = ", ".join([*parameter.opts, *parameter.secondary_opts])
        about = parameter.help or ""
    else:
        return ""
    if "completion" in name:
        return ""
    default = "required" if parameter.required else _default(parameter)
    return f"| `{name}` | {default} | {' '.join(about.split()).replace('|', '/')} |"


def _default(parameter: click.Parameter) -> str:
    value = parameter.default
    if value is None or value == "" or callable(value) or "UNSET" in repr(value):
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
