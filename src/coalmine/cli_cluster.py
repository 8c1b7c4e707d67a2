"""What runs in a cluster: `coalmine closer`. The judge is `coalmine judge serve --prometheus ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coalmine import output
from coalmine.errors import BadInput


def closer(
    *,
    git: Annotated[str, typer.Option(help="the deployment repository: a URL without a password in it")],
    state: Annotated[Path, typer.Option(help="a folder that lasts: what was seen and closed is kept there")],
    judge: Annotated[str, typer.Option(help="the judge's URL")] = "http://judge.coalmine:8090",
    mlflow: Annotated[str, typer.Option(help="the tracking server's URL; none: no alias is moved")] = "",
    namespaces: Annotated[str, typer.Option(help="only Canaries there, with commas between; default: all")] = "",
    env: Annotated[str, typer.Option(help="which gitops/apps/<model>/release/<env> this cluster runs")] = "production",
    git_credentials: Annotated[
        Path | None, typer.Option(help="a folder: identity and known_hosts, or username and password")
    ] = None,
    notify: Annotated[Path | None, typer.Option(help="a folder: slack-url, pagerduty-key")] = None,
    judge_token: Annotated[
        Path | None, typer.Option(help="a file: the token that hurries the way back after a bake")
    ] = None,
    public: Annotated[str, typer.Option(help="where people reach this closer, for links to its reports")] = "",
    lease: Annotated[str, typer.Option(help="<namespace>/<name> of a Lease, where more than one runs")] = "",
    host: Annotated[str, typer.Option(help="listen here")] = "0.0.0.0",  # noqa: S104 - in a pod
    port: Annotated[int, typer.Option(help="listen here: /readyz, /metrics, /reports")] = 8462,
    poll: Annotated[float, typer.Option(min=1.0, help="seconds between two lists, whatever the watch says")] = 10.0,
    grace: Annotated[float, typer.Option(help="seconds to wait for a silent judge's words on what has ended")] = 30.0,
    once: Annotated[bool, typer.Option("--once", help="look, close what ended, and end: for a CronJob")] = False,
) -> None:
    """Close what Flagger ended: heal git, move the alias, quarantine, report, notify. Once for each attempt."""
    from coalmine.cluster.closer import Closer
    from coalmine.cluster.options import Options
    from coalmine.judge import logs

    if lease and lease.count("/") != 1:
        raise BadInput(f"{lease!r} names no Lease", where="--lease", remedy="--lease coalmine/closer")
    options = Options(
        state=state.resolve(), git=git, judge=judge.rstrip("/"), mlflow=mlflow.rstrip("/"), env=env,
        namespaces=tuple(filter(None, (name.strip() for name in namespaces.split(",")))),
        credentials=git_credentials, notify=notify, judge_token=judge_token, public=public, lease=lease,
        host=host, port=port, poll=poll, grace=grace,
    )  # fmt: skip
    logs.begin("json")
    made = Closer(options)
    if once:
        closed = made.once()
        output.show(
            closed, lines=[f"{e.model} {e.release} {e.outcome}: {e.reason}" for e in closed] or ["nothing ended"]
        )
    else:
        made.run()
