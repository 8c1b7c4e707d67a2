"""The bench's command: `PYTHONPATH=tests python -m cluster --help`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster import engines
from coalmine.errors import CoalmineError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="A real Kubernetes on this machine, for tests.")


@app.command()
def build(names: Annotated[list[str] | None, typer.Argument(help="engines; without any, all of them")] = None) -> None:
    """Build engines into the cache; those that are there already stay. May be stopped and started again."""
    wanted = names or list(engines.ENGINES)
    for number, name in enumerate(wanted, start=1):
        typer.echo(f"[{number}/{len(wanted)}] {name}: {engines.binary(name)}")


@app.command()
def status(*, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Which engines are built."""
    made = {name: engines.built(name) for name in engines.ENGINES}
    if as_json:
        typer.echo(json.dumps({"engines": {name: path and str(path) for name, path in made.items()}}, indent=2))
        return
    table = Table("engine", "version", "built")
    for name, path in made.items():
        table.add_row(name, engines.ENGINES[name].version, str(path) if path else "no")
    Console().print(table)


def main() -> None:
    """Run a command; a user's mistake is one message and an exit code, never a traceback."""
    try:
        app()
    except CoalmineError as problem:
        typer.echo(f"error: {problem}", err=True)
        sys.exit(problem.exit_code)


if __name__ == "__main__":
    main()
