"""The bench's command: `PYTHONPATH=tests python -m cluster --help`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster import engines, fakenodes, images, packages, project_images
from cluster import machine as bench
from coalmine.errors import CoalmineError, Missing

HERE = Path(__file__).parent
ALONE = HERE / "test_machine.py"  # brings the bench up and down itself
BESIDE = ("--numprocesses=4", "--dist=loadfile", "--no-loadscope-reorder")

app = typer.Typer(add_completion=False, no_args_is_help=True, help="A real Kubernetes on this machine, for tests.")


@app.command()
def build(names: Annotated[list[str] | None, typer.Argument(help="engines; without any, all of them")] = None) -> None:
    """Build engines into the cache; those that are there already stay. May be stopped and started again."""
    wanted = names or list(engines.ENGINES)
    for number, name in enumerate(wanted, start=1):
        typer.echo(f"[{number}/{len(wanted)}] {name}: {engines.binary(name)}")


@app.command(name="images")
def make_images(
    names: Annotated[list[str] | None, typer.Argument(help="images; without any, all of them")] = None,
) -> None:
    """Make images into the cache, with the engines in them; those that are there already stay. May be interrupted."""
    wanted = names or [image.folder for image in images.IMAGES]
    for number, name in enumerate(wanted, start=1):
        typer.echo(f"[{number}/{len(wanted)}] {name}: {images.image(name)}")


@app.command()
def install() -> None:
    """Install the Debian packages that the bench lacks, as root; elsewhere say what to type."""
    for name in packages.install():
        typer.echo(f"installed {name}")


@app.command()
def up() -> None:
    """Bring the cluster up, or what is down of it; print its kubeconfig's path."""
    machine = bench.Machine()
    machine.up(say=_say)
    typer.echo(machine.layout.kubeconfig)


@app.command()
def down(*, keep: Annotated[bool, typer.Option(help="leave the state for the next `up`")] = False) -> None:
    """Take the cluster down and leave nothing of it on the machine, whatever happened to it."""
    bench.Machine().down(keep=keep, say=_say)


@app.command()
def ready() -> None:
    """End well where a bench can be had and its engines are built; else say what is missing."""
    bench.able()
    if missing := [name for name in engines.ENGINES if not engines.built(name)]:
        remedy = "make cluster-up builds them, once, in some forty minutes"
        raise Missing(f"engines are not built: {', '.join(missing)}", remedy=remedy)


@app.command(name="test")
def run_tests(
    *, chain: Annotated[bool, typer.Option(help="only a good and a bad release, through all of the platform")] = False
) -> None:
    """Run the tests of a cluster: on `$KUBECONFIG`'s, else on the bench, which is up for them and down afterwards."""
    if os.environ.get("KUBECONFIG"):
        raise typer.Exit(_pytest("cluster and chain" if chain else "cluster", HERE))
    bench.able()
    install()
    build()
    make_images()
    project_images.tidy()
    machine = bench.Machine()
    was_up = machine.status().up
    rest = f"--ignore={ALONE}"
    codes = [] if chain else [_pytest("cluster", ALONE)]
    machine.up(say=_say)
    try:
        if chain:
            codes.append(_pytest("cluster and chain", HERE, rest))
        else:
            codes.append(_pytest("cluster and not outage", HERE, rest, *BESIDE))
            codes.append(_pytest("cluster and outage", HERE, rest))
    finally:
        if not was_up:
            machine.down(say=_say)
    raise typer.Exit(max(codes))


@app.command()
def zones(*, each: Annotated[int, typer.Option(help="nodes in each of the three zones")] = 2) -> None:
    """Add three zones of pretended GPU nodes to the running cluster."""
    machine = bench.Machine()
    fakenodes.start(machine)
    fakenodes.add(machine.kubectl, each=each)


@app.command()
def status(*, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Which engines are built, which run, and what the bench has on this machine."""
    now = bench.Machine().status()
    made = {name: engines.built(name) for name in engines.ENGINES}
    if as_json:
        content = {
            "up": now.up,
            "folder": str(now.folder),
            "running": now.engines,
            "traces": [asdict(trace) for trace in now.traces],
            "built": {name: path and str(path) for name, path in made.items()},
        }
        typer.echo(json.dumps(content, indent=2))
        return
    table = Table("engine", "version", "built", "pid")
    for name, path in made.items():
        pid = now.engines.get(name)
        table.add_row(name, engines.ENGINES[name].version, "yes" if path else "no", str(pid or ""))
    Console().print(table)
    typer.echo(f"{'up' if now.up else 'down'}; {len(now.traces)} traces on this machine; state in {now.folder}")


def main() -> None:
    """Run a command; a user's mistake is one message and an exit code, never a traceback."""
    try:
        app()
    except CoalmineError as problem:
        typer.echo(f"error: {problem}", err=True)
        sys.exit(problem.exit_code)


def _pytest(marks: str, where: Path, *more: str) -> int:
    """Run the tests of a cluster that have these marks: its exit code."""
    line = [sys.executable, "-m", "pytest", "-m", marks, "--durations=15", str(where), *more]
    return subprocess.run(line, check=False).returncode


def _say(text: str) -> None:
    typer.echo(text, err=True)


if __name__ == "__main__":
    main()
