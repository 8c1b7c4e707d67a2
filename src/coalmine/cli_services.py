"""The services by hand, and what checks the judge: `coalmine judge ...` and `coalmine feedback ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coalmine import output

judge_app = typer.Typer(help="The judge: the service, and what checks it.", no_args_is_help=True)
feedback_app = typer.Typer(help="People's votes and corrections.", no_args_is_help=True)


@judge_app.command("serve")
def judge_serve(
    database: Annotated[str, typer.Option(help="an SQLite file, or a database URL")],
    access_log: Annotated[Path, typer.Option(help="nginx's JSON access log")],
    feedback: Annotated[Path, typer.Option(help="the feedback store's SQLite file")],
    policies: Annotated[Path | None, typer.Option(help="a folder of <namespace>.<name>.yaml")] = None,
    host: Annotated[str, typer.Option(help="listen here")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="listen here")] = 8460,
) -> None:
    """Answer Flagger's webhooks, until TERM. `up` starts it by itself."""
    from coalmine.judge.service import serve

    serve(database=database, access_log=access_log, feedback=feedback, policies=policies, host=host, port=port)


@judge_app.command("check")
def judge_check(
    file: Annotated[Path, typer.Argument(help="reference values: see tests/unit/judge/golden.json")],
) -> None:
    """Recompute reference values; prints the largest difference, exit 1 above 1e-6."""
    from coalmine.judge.backtest import TOLERANCE, check

    difference = check(file)
    output.show({"largest_difference": difference}, lines=[f"largest difference {difference:.3g}"])
    if difference > TOLERANCE:
        raise typer.Exit(1)


@judge_app.command("schema")
def judge_schema() -> None:
    """The policy's JSON Schema, for editors."""
    from coalmine.judge.policy import schema

    output.as_json = True
    output.show(schema(), lines=[])


@feedback_app.command("serve")
def feedback_serve(
    port: Annotated[int, typer.Option(help="listen on loopback here")],
    database: Annotated[Path, typer.Option(help="the SQLite file that votes go to")],
    key: Annotated[Path, typer.Option(help="the key that signs prediction ids")],
) -> None:
    """Take votes over HTTP, until TERM. `up` starts it by itself."""
    from coalmine.feedback.api import main as serve

    raise typer.Exit(serve(["--port", str(port), "--database", str(database), "--key", str(key)]))
