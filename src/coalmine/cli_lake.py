"""The lake by hand: `coalmine lake ...`, and `coalmine feedback import|export`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coalmine import output
from coalmine.errors import BadInput
from coalmine.settings import load

if TYPE_CHECKING:
    from coalmine.feedback.lake import Lake
    from coalmine.records import Query

lake_app = typer.Typer(help="The Delta tables of predictions, feedback and labels.", no_args_is_help=True)

Since = Annotated[str, typer.Option(help="predictions from this date or ISO time on (UTC unless it says otherwise)")]
Until = Annotated[str, typer.Option(help="predictions before this date or ISO time")]
Tenant = Annotated[str, typer.Option(help="of this tenant only")]
Of = Annotated[str, typer.Option("--release", help="of this release only")]
Which = Annotated[str, typer.Option("--table", help="predictions, feedback or labels")]


@lake_app.command("ingest")
def ingest(context: typer.Context) -> None:
    """Take in what the services wrote since the last time, and label it."""
    lake = _lake(context)
    took, made = lake.ingest(), lake.join()
    output.show(
        {"predictions": took.predictions, "feedback": took.feedback, "labels": made.labels},
        lines=[f"{took.predictions} predictions, {took.feedback} events; {made.labels} labels written"],
    )


@lake_app.command("snapshot")
def snapshot(
    context: typer.Context,
    since: Since = "",
    until: Until = "",
    tenant: Tenant = "",
    release: Of = "",
    table: Which = "labels",
) -> None:
    """Remember rows as they are now: a training run names the digest, and anyone rebuilds them."""
    from coalmine.feedback import snapshots

    made = snapshots.snapshot(_lake(context), _query(table, since, until, tenant=tenant, release=release))
    output.show(made, lines=[f"{made.digest}  {made.rows} rows of {made.query.table}"])


@lake_app.command("rows")
def rows(
    context: typer.Context,
    digest: Annotated[str, typer.Argument(help="a snapshot's digest, or how it begins")],
    out: Annotated[Path, typer.Argument(help="the Parquet file to write")],
) -> None:
    """Rebuild a snapshot's rows, and hold them to its digest; exit 3 where some were erased."""
    from coalmine.feedback import snapshots

    lake = _lake(context)
    found = snapshots.rows(lake, snapshots.named(lake, digest))
    found.write_parquet(out)
    output.show({"rows": len(found), "file": str(out)}, lines=[f"{len(found)} rows in {out}"])


@lake_app.command("check")
def check(context: typer.Context) -> None:
    """What the tables hold, and whether it is as it should be: nothing twice, each snapshot rebuilt. Exit 70 if not."""
    from coalmine.errors import Broken
    from coalmine.feedback import upkeep

    found = upkeep.check(_lake(context))
    output.show(found, lines=[f"{'ok  ' if f.ok else 'BAD '} {f.what}: {f.found}  {f.remedy}".rstrip() for f in found])
    if not all(finding.ok for finding in found):
        raise typer.Exit(Broken.exit_code)


@lake_app.command("compact")
def compact(context: typer.Context) -> None:
    """Merge small files, let rows go that are older than keep_days, delete files that nothing names any more."""
    from coalmine.feedback import upkeep

    done = upkeep.compact(_lake(context))
    said = [f"{d.table}: {d.files_before} files -> {d.files_after}, {d.expired} rows expired" for d in done]
    output.show(done, lines=[f"{line}, {one.removed} files removed" for line, one in zip(said, done, strict=True)])


@lake_app.command("erase")
def erase(
    context: typer.Context,
    user: Annotated[str, typer.Option(help="all that this user said, and was served")] = "",
    prediction: Annotated[list[str] | None, typer.Option(help="a prediction's UUID; may be repeated")] = None,
) -> None:
    """Erase a person's data on request: rows, old versions, logs, votes; says which snapshots that costs."""
    from coalmine.feedback.erasure import erase as erased

    gone = erased(_lake(context), user=user, predictions=prediction or ())
    lines = [
        f"{gone.predictions} predictions, {gone.events} events, {gone.lines} log lines, {gone.rows} rows in the lake",
        *(f"dataset {name} held a text of theirs and is deleted" for name in gone.datasets),
        *(f"snapshot {digest[:12]} cannot be rebuilt any more" for digest in gone.snapshots),
    ]
    output.show(gone, lines=lines)


def feedback_import(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON lines, as `feedback export` writes them")],
) -> None:
    """Add feedback that came by another way to the lake; repeated lines do no harm. The judge does not count it."""
    from coalmine.feedback.exchange import take_file

    lake = _lake(context)
    took = take_file(lake, file)
    made = lake.join()
    output.show(
        {"lines": took.lines, "added": took.added, "labels": made.labels},
        lines=[f"{took.added} of {took.lines} events were new; {made.labels} labels written"],
    )


def feedback_export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="the file to write")],
    since: Since = "",
    until: Until = "",
    tenant: Tenant = "",
    release: Of = "",
    table: Which = "feedback",
) -> None:
    """Write feedback, or the labels, as JSON lines. For feedback, times are those of the events."""
    from coalmine.feedback.exchange import write_file

    count = write_file(_lake(context), file, _query(table, since, until, tenant=tenant, release=release))
    output.show({"rows": count, "file": str(file)}, lines=[f"{count} rows in {file}"])


def _lake(context: typer.Context) -> Lake:
    from coalmine.feedback.lake import Lake

    given = context.find_root().params
    return Lake.open(load(project=given.get("project"), state=given.get("state")))


def _query(table: str, since: str, until: str, *, tenant: str, release: str) -> Query:
    from coalmine.records import Query

    return Query(
        table, _time(since, "--since"), _time(until, "--until"), tenant=tenant or None, release=release or None
    )


def _time(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{text!r} is no date", where=where, remedy="for example 2026-05-01 or 2026-05-01T12:00"
        ) from None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
