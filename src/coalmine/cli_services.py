"""The services by hand, and what checks the judge: `coalmine judge ...` and `coalmine feedback ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coalmine import output
from coalmine.errors import BadInput
from coalmine.settings import Settings, load

DATABASE = "COALMINE_JUDGE_DATABASE"  # rather than an argument, where the address has a password in it
_STORE = "an SQLite file, or a URL of PostgreSQL"

judge_app = typer.Typer(help="The judge: the service, and what checks it.", no_args_is_help=True)
feedback_app = typer.Typer(help="People's votes and corrections.", no_args_is_help=True)


@judge_app.command("serve")
def judge_serve(
    *,
    database: Annotated[str, typer.Option(envvar=DATABASE, show_envvar=False, help=f"{_STORE}; or ${DATABASE}")],
    access_log: Annotated[Path | None, typer.Option(help="nginx's JSON access log")] = None,
    feedback: Annotated[Path | None, typer.Option(help="the feedback store's SQLite file")] = None,
    prometheus: Annotated[str, typer.Option(help="the URL of a Prometheus server")] = "",
    policies: Annotated[Path | None, typer.Option(help="a folder of <namespace>.<name>.yaml")] = None,
    tokens: Annotated[Path | None, typer.Option(help="the file of those who may push and override")] = None,
    host: Annotated[str, typer.Option(help="listen here")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="listen here")] = 8460,
    replica_name: Annotated[str, typer.Option(help="this replica's own name; default: the host's")] = "",
    lease_seconds: Annotated[float, typer.Option(help="a silent replica's successor waits so long")] = 10.0,
    log_format: Annotated[str, typer.Option(help="json or console")] = "json",
    drift: Annotated[Path | None, typer.Option(help="the folder in which `coalmine drift` leaves its page")] = None,
    reports: Annotated[Path | None, typer.Option(help="the folder with the closer's reports on releases")] = None,
) -> None:
    """Answer Flagger's webhooks, until TERM. `up` starts it by itself."""
    given = dict(locals())
    from coalmine.judge.service import options, serve

    serve(options(**given))


@judge_app.command("token")
def judge_token(
    name: Annotated[str, typer.Argument(help="whom or what the token is for; one of this name is replaced")],
    may: Annotated[list[str], typer.Option(help="push or override; may be repeated")],
    namespace: Annotated[list[str] | None, typer.Option(help="only there; may be repeated")] = None,
    tokens: Annotated[Path, typer.Option(help="the judge's file of tokens")] = Path("judge-tokens.json"),
) -> None:
    """Add a token to the judge's file. Its secret is shown this once and kept nowhere."""
    from coalmine.judge.tokens import add

    made = add(tokens, name, may=tuple(may), namespaces=tuple(namespace or ()))
    output.show({"name": name, "token": made, "file": str(tokens)}, lines=[made])


@judge_app.command("override")
def judge_override(
    context: typer.Context,
    number: Annotated[int, typer.Argument(metavar="ID", help="the analysis, as the page and `status` name it")],
    action: Annotated[str, typer.Option(help="approve, hold, rollback, or clear what was said before")],
    why: Annotated[str, typer.Option(help="kept with the analysis for ever")],
    who: Annotated[str, typer.Option(help="who says it, where several share a token")] = "",
    judge: Annotated[str, typer.Option(help="the judge's URL; default: this machine's")] = "",
    token_file: Annotated[Path | None, typer.Option(help="default: $COALMINE_JUDGE_TOKEN, else that of `up`")] = None,
) -> None:
    """Decide by hand, over the judge's head: for one analysis, kept with who and why."""
    from coalmine.judge import client

    here = _settings(context)
    url = judge or (here.judge_url if here else "http://127.0.0.1:8460")
    own = here.judge_token if here and url == here.judge_url else None  # ours is sent to nobody else
    token = client.secret(token_file, own=own)
    said = client.override(url, number, action, why=why, who=who, token=token)
    output.show(said, lines=[f"analysis {number}: {said['action']} by {said['who']}: {said['why']}"])


def _settings(context: typer.Context) -> Settings | None:
    """The project's, or none: the judge is used without one too."""
    given = context.find_root().params
    try:
        return load(project=given.get("project"), state=given.get("state"))
    except BadInput:
        if given.get("project") or given.get("state"):
            raise
        return None


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
    origin: Annotated[list[str] | None, typer.Option(help="of pages that may send; may be repeated")] = None,
) -> None:
    """Take feedback over HTTP, until TERM. `up` starts it by itself."""
    from coalmine.feedback.api import main as serve

    origins = [word for one in origin or () for word in ("--origin", one)]
    raise typer.Exit(serve(["--port", str(port), "--database", str(database), "--key", str(key), *origins]))
