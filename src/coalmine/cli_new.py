"""`coalmine new`: a model of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coalmine import output
from coalmine.steps.workload import Task

Name = Annotated[str, typer.Argument(help="what the model is called: letters and digits, for example delivery")]
Wanted = Annotated[Task, typer.Option(help="what is predicted: one of two labels, or a number")]


def new(context: typer.Context, name: Name, task: Wanted = Task.CLASSIFICATION) -> None:
    """Start a model of your own: service, training, gates, release, Canary, policy and tests.

    What it writes runs as it is, on rows that are made up: put your data in
    their place. Nothing that exists is changed, and what it wrote is yours.
    Run again, it writes what is missing. Exit 2: the name cannot be a
    model's, 3: a file of that model is there with another content.

    Example: coalmine new delivery --task regression
    """
    from coalmine.new.make import new as make

    made = make(_project(context.find_root().params.get("project")), name, task=task)
    told = f"{len(made.written)} files written, {len(made.there)} were there"
    lines = [*(f"  {at}" for at in made.written), told, "", "Next:"]
    lines += [f"  {number}. {step}" for number, step in enumerate(made.next, start=1)]
    output.show(made, lines=lines)


def _project(given: Path | None) -> Path:
    """The nearest folder upward that holds models or is a repository: the first model makes bentos/."""
    here = (given or Path()).resolve()
    above = [] if given else [p for p in (here, *here.parents) if (p / "bentos").is_dir() or (p / ".git").exists()]
    return next(iter(above), here)
