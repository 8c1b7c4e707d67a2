"""Retraining by whoever calls: `coalmine pipeline ...` begins and looks at runs, `coalmine step ...` does one step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from coalmine import output
from coalmine.errors import NothingToDo
from coalmine.files import write_whole
from coalmine.pipeline.command import END, GO
from coalmine.settings import Settings, load

pipeline_app = typer.Typer(help="Runs of retraining: whether one is due, and one at a time.", no_args_is_help=True)

RunId = Annotated[str, typer.Option("--run", help="the run's id, as its scheduler names it")]
Because = Annotated[str, typer.Option(help="due: only where one is due; hand: at once, but never beside another run")]
Mode = Annotated[str, typer.Option(help="full or incremental; default: as bentos/<model>/retraining.yaml says")]
Override = Annotated[str, typer.Option(help="go past a failed gate; say why: it is recorded")]
Release = Annotated[str, typer.Option(help="yes, or no: end when it is packaged")]
Outcome = Annotated[
    Path | None, typer.Option(help="write `go` or `end` there, and exit 0 for either: for a scheduler of values")
]


@contextmanager
def _told(outcome: Path | None) -> Iterator[None]:
    """With a file to tell it in, an end is a value and no exit code."""
    try:
        yield
    except NothingToDo as answer:
        if outcome is None:
            raise
        output.tell(f"end: {answer}")
        write_whole(outcome, END)
    else:
        if outcome is not None:
            write_whole(outcome, GO)


def _settings(context: typer.Context) -> Settings:
    given = context.find_root().params
    return load(project=given.get("project"), state=given.get("state"))


@pipeline_app.command("due")
def due(context: typer.Context) -> None:
    """Whether a run is due now, and why; exit 99 where none is."""
    from coalmine.pipeline import plan

    answer = plan.due_now(_settings(context))
    output.show({"due": bool(answer), "reason": answer.reason, "why": answer.why}, lines=[answer.why])
    if not answer:
        raise typer.Exit(NothingToDo.exit_code)


@pipeline_app.command("start")
def start(
    context: typer.Context,
    run: RunId,
    because: Because = "due",
    mode: Mode = "",
    override: Override = "",
    release: Release = "yes",
    outcome: Outcome = None,
) -> None:
    """Begin a run if one is due, and fix what it will do; exit 99 where none is."""
    from coalmine.pipeline import plan

    with _told(outcome):
        made = plan.start(_settings(context), run, plan.wishes(because, mode, override, release))
        output.show(made, lines=[f"run {made.run} ({made.mode}): {made.why}"])


@pipeline_app.command("run")
def run(
    context: typer.Context,
    run: Annotated[str, typer.Option("--run", help="a run to go on with; default: a new one")] = "",
    because: Because = "due",
    mode: Mode = "",
    override: Override = "",
    release: Release = "yes",
) -> None:
    """Begin a run if one is due, and do all of its steps here, within the limits of its plan: for cron, or by hand."""
    from coalmine.pipeline import limits, plan, steps

    here = _settings(context)
    run_id = run or time.strftime("run-%Y%m%dT%H%M%S", time.gmtime())
    began = plan.start(here, run_id, plan.wishes(because, mode, override, release))
    output.tell(f"run {began.run} ({began.mode}): {began.why}")
    made = steps.run_all(here, run_id, tell=output.tell, before=lambda: limits.apply(here, run_id, fail=output.fail))
    output.show(made, lines=[f"{made.release} by {made.commit[:12]}"])


@pipeline_app.command("lineage")
def lineage(
    context: typer.Context,
    which: Annotated[str, typer.Argument(help="a release id, a version's number, or an alias")] = "champion",
) -> None:
    """From commit to snapshot to run to version to release: what a model was made from, and what became of it."""
    from coalmine.pipeline import lineage as lineages

    found = lineages.trace(_settings(context), which)
    output.show(found, lines=lineages.lines(found))


@pipeline_app.command("runs")
def runs(context: typer.Context) -> None:
    """The last runs: why each began, and what came of it."""
    from coalmine.pipeline import plan

    found = plan.runs_of(_settings(context)).latest()
    output.show(found, lines=[f"{one.id}  {one.why}  -> {one.outcome or 'goes on'} {one.detail}" for one in found])


def step(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="collect, validate, train, evaluate, register, package or release")],
    run: RunId,
    after: Annotated[str, typer.Option(help="the last step's word; after `end` nothing is done")] = "go",
    outcome: Outcome = None,
) -> None:
    """Do one step of a run, within the limits of its plan, or find it done; exit 99 where the run ends well here."""
    from coalmine.pipeline import limits, links, steps

    with _told(outcome):
        if after == END:
            raise NothingToDo("the run has ended before", where=f"run {run}")
        here = _settings(context)
        limits.apply(here, run, fail=output.fail)
        made = steps.run_step(here, run, name, tell=output.tell)
        output.show({"record": made, "links": links.find(here, made)}, lines=[f"{name}: done"])


def airflow(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="of its pages, on loopback")] = 8463,
) -> None:
    """Start Airflow on this machine, with the DAGs of main, until Ctrl-C; it ends with all of its parts.

    The first time it installs Airflow into an environment of its own, in ~/.cache/coalmine.
    """
    from coalmine.local import airflow as scheduler

    scheduler.foreground(_settings(context), port=port, tell=output.tell)
    output.show({"ended": True}, lines=["Airflow has ended"])
