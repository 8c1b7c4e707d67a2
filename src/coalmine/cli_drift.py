"""Is what we learn from and what we answer still what it was: `coalmine validate` and `coalmine drift`."""

from __future__ import annotations

from typing import Annotated

import typer

from coalmine import output
from coalmine.settings import Settings, load


def _settings(context: typer.Context) -> Settings:
    given = context.find_root().params
    return load(project=given.get("project"), state=given.get("state"))


def validate(
    context: typer.Context,
    votes: Annotated[bool, typer.Option("--votes/--no-votes", help="check people's votes as well")] = True,
) -> None:
    """Check the rows last collected: schema, ranges, missing, duplicates, balance, leakage, votes. Exit 3: it says where."""
    from coalmine.records import Dataset
    from coalmine.steps import handover
    from coalmine.steps.validate import validate as step

    here = _settings(context)
    made = step(here, handover.take(here, Dataset), votes=here.feedback_database if votes else None)
    output.show(made, lines=[f"{check.found:7}  {check.name}: {check.what}" for check in made.checks])
