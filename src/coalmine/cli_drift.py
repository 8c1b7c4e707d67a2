"""Is what we learn from and what we answer still what it was: `coalmine validate` and `coalmine drift`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coalmine import output
from coalmine.settings import Settings, load


def _settings(context: typer.Context) -> Settings:
    given = context.find_root().params
    return load(project=given.get("project"), state=given.get("state"))


def validate(context: typer.Context) -> None:
    """Check the rows last collected: schema, ranges, missing, duplicates, balance, leakage, votes. Exit 3 if bad."""
    from coalmine.records import Dataset
    from coalmine.steps import handover
    from coalmine.steps.validate import validate as step

    here = _settings(context)
    made = step(here, handover.take(here.steps, Dataset))
    handover.leave(here.steps, made)
    output.show(made, lines=[f"{check.found:7}  {check.name}: {check.what}" for check in made.checks])


def drift(
    context: typer.Context,
    texts: Annotated[
        Path | None, typer.Option(help="look at this file instead: one text, or JSON object, a line")
    ] = None,
    reference_texts: Annotated[
        Path | None, typer.Option(help="with --texts: against these; default: the model's held-out rows")
    ] = None,
    alpha: Annotated[float, typer.Option(help="probability of any false alarm, for each tenant and reference")] = 0.05,
    window: Annotated[int, typer.Option(help="rows that are judged together")] = 50,
    reference: Annotated[int, typer.Option(help="rows of a release's first traffic that are the reference")] = 600,
) -> None:
    """Has what comes in, goes out, or is right changed? Exit 0 healthy, 10 alarm, 11 no data."""
    import time

    from coalmine.drift import reading, run
    from coalmine.drift.health import EXIT_CODES, health, lines
    from coalmine.drift.watch import Plan
    from coalmine.feedback.opening import open_lake

    here = _settings(context)
    plan = run.check(Plan(alpha=alpha, window=window, reference=reference))
    if texts is None:
        found = run.examine(here, open_lake(here), plan, now=time.time())
    else:
        rows, (known, fit) = reading.read_texts(texts), reading.reference(here, reference_texts)
        tenant = run.of_texts(rows, known, fit, plan, name=texts.name)
        found = health([tenant], made_at=time.time(), model=here.model, alpha=alpha)
    output.show(found, lines=lines(found))
    raise typer.Exit(EXIT_CODES[found.state])
