"""Releases machine-learning models by `git push`, with canaries that an anytime-valid judge promotes or rolls back.

One function for each command, no logic. Exit codes: 0 done, 2 bad input, 3 refused by a gate or check, 4 something is
missing on this machine, 70 a bug, 75 may pass by itself, 99 nothing to do. With `--json`, any command prints its
result for machines.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from coalmine import (
    cli_backup,
    cli_cluster,
    cli_drift,
    cli_image,
    cli_judge,
    cli_lake,
    cli_lint,
    cli_new,
    cli_pipeline,
    output,
)
from coalmine.cli_forge import forge_app
from coalmine.cli_infra import infra_app
from coalmine.cli_services import feedback_app, judge_app
from coalmine.errors import BadInput, CoalmineError
from coalmine.settings import Settings, load

app = typer.Typer(
    name="coalmine",
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(judge_app, name="judge")
app.add_typer(feedback_app, name="feedback")
feedback_app.command("import")(cli_lake.feedback_import)
feedback_app.command("export")(cli_lake.feedback_export)
app.add_typer(cli_lake.lake_app, name="lake")
app.add_typer(cli_image.image_app, name="image")
app.add_typer(forge_app, name="forge")
app.add_typer(infra_app, name="infra")
app.add_typer(cli_pipeline.pipeline_app, name="pipeline")

_given: dict[str, Any] = {}


@app.callback()
def before(
    project: Annotated[Path | None, typer.Option(help="the project's clone; default: the folder you are in")] = None,
    state: Annotated[Path | None, typer.Option(help="the state folder; default: .coalmine in the project")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON, for machines")] = False,
) -> None:
    """What stands before a command's name."""
    _given.update(project=project, state=state)
    output.as_json = as_json


def settings() -> Settings:
    return load(**_given)


# ---- the runtime ------------------------------------------------------------------------------------------------


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="in the background")] = False,
    quiet: Annotated[bool, typer.Option(help="no live status: for a log or a service manager")] = False,
) -> None:
    """Start everything on this machine: the repository to push to, nginx, arms, judge, feedback, MLflow."""
    from coalmine.local import status
    from coalmine.local import up as runtime

    here = settings()
    if detach:
        runtime.detached(here)
        output.show(status.report(here), lines=status.lines(status.report(here)))
    elif quiet:
        runtime.foreground(here)
    else:
        with status.live() as tell:
            runtime.foreground(here, tell)


@app.command()
def down() -> None:
    """Stop everything of this state folder; the next `up` goes on where it was."""
    from coalmine.local import airflow as scheduler
    from coalmine.local import up as runtime

    here = settings()
    ran = any([scheduler.end(here), runtime.down(here)])
    output.show({"ran": ran}, lines=["stopped" if ran else "nothing was running here"])


@app.command()
def status(watch: Annotated[bool, typer.Option("--watch", "-w", help="keep looking, until Ctrl-C")] = False) -> None:
    """What runs, what is rolling out, and what it waits for."""
    from coalmine.local import status as statuses

    here = settings()
    if watch:
        statuses.watch(here)
    else:
        output.show(statuses.report(here), lines=statuses.lines(statuses.report(here)))


@app.command()
def doctor() -> None:
    """What this machine lacks, and what to type."""
    from coalmine.local import doctor as doctors
    from coalmine.local import up as runtime

    here = settings()
    findings = doctors.examine(here, ports=not runtime.running(here))
    output.show(findings, lines=[f"{'ok  ' if f.ok else 'LACK'} {f.what}: {f.found}  {f.remedy}" for f in findings])
    if not all(finding.ok for finding in findings):
        raise typer.Exit(4)


@app.command()
def demo(
    keep: Annotated[bool, typer.Option(help="leave it running to look at")] = False,
) -> None:
    """The whole story on real data: four releases, one promoted on evidence, two rolled back."""
    from coalmine.local import demo as story

    raise typer.Exit(story.run(settings(), keep=keep))


# ---- from data to a release -------------------------------------------------------------------------------------

Domains = Annotated[list[str] | None, typer.Option("--domain", help="where base rows come from; may be repeated")]
Votes = Annotated[bool, typer.Option("--votes/--no-votes", help="learn from people's votes as well")]
Seed = Annotated[int, typer.Option(help="the same seed and rows give the same model")]
Options = Annotated[list[str] | None, typer.Option("--option", help="name=value for the model's own training")]
Override = Annotated[str, typer.Option(help="go past a failed gate; say why: it is recorded")]


@app.command()
def collect(
    domain: Domains = None,
    votes: Votes = True,
    snapshot: Annotated[str, typer.Option(help="what people said as this snapshot has it, by its digest")] = "",
) -> None:
    """Gather training rows: base data, and what people said of predictions, as a snapshot of the lake."""
    from coalmine.steps import handover
    from coalmine.steps.collect import collect as step

    here = settings()
    made = step(here, domains=domain or (), votes=votes, snapshot=snapshot)
    handover.leave(here.steps, made)
    lines = [f"{made.rows:,} rows from {', '.join(made.sources)}, digest {made.digest[:12]}"]
    lines += [f"snapshot {made.snapshot.digest}"] if made.snapshot else []
    output.show(made, lines=lines)


app.command()(cli_drift.validate)


@app.command()
def train(seed: Seed = 0, option: Options = None) -> None:
    """Fit a candidate on the rows last collected; it is logged to MLflow."""
    from coalmine.records import Dataset
    from coalmine.steps import handover
    from coalmine.steps.train import train as step

    here = settings()
    made = step(here, handover.take(here.steps, Dataset), seed=seed, options=_options(option))
    handover.leave(here.steps, made)
    output.show(made, lines=[f"run {made.run_id}"])


@app.command()
def evaluate(override: Override = "") -> None:
    """Hold the candidate against fixed floors and the champion; exit 3 where it falls short, saying by how much."""
    from coalmine.records import Candidate
    from coalmine.steps import handover
    from coalmine.steps.evaluate import evaluate as step

    here = settings()
    made = step(here, handover.take(here.steps, Candidate), override=override)
    handover.leave(here.steps, made)
    verdict = "passed" if made.passed else f"failed, overridden: {override}"
    checks = [f"  {c.name}: {c.value:.3f}, bound {c.bound:.3f} ({c.margin:+.3f})" for c in made.checks]
    output.show(made, lines=[verdict, *checks])


@app.command()
def register() -> None:
    """Put the evaluated candidate into the registry, alias `candidate`."""
    from coalmine.records import Evaluation
    from coalmine.steps import handover
    from coalmine.steps.register import register as step

    here = settings()
    made = step(here, handover.take(here.steps, Evaluation))
    handover.leave(here.steps, made)
    output.show(made, lines=[f"{made.model} version {made.version}"])


@app.command()
def package(version: Annotated[str, typer.Argument(help="a version's number or alias")] = "candidate") -> None:
    """Build the Bento of a registry version from the clean source tree."""
    from coalmine.release.ledger import Ledger
    from coalmine.steps.package import package as step

    here = settings()
    made = Ledger(here.database).add(step(here, int(version) if version.isdigit() else version))
    output.show(made, lines=[f"{made.id}  {made.bento_path}"])


@app.command()
def retrain(
    domain: Domains = None,
    votes: Votes = True,
    seed: Seed = 0,
    option: Options = None,
    override: Override = "",
    push: Annotated[bool, typer.Option("--release", help="release it when it is packaged")] = False,
) -> None:
    """Collect, validate, train, evaluate, register, package, in one process."""
    from coalmine.steps.chain import Wish
    from coalmine.steps.chain import retrain as chain

    here = settings()
    wish = Wish(tuple(domain or ()), votes=votes, seed=seed, options=_options(option), override=override)
    made = chain(here, wish, tell=output.tell)
    output.show(made, lines=[str(made.id)])
    if push:
        release(str(made.id))


@app.command()
def release(
    wanted: Annotated[str, typer.Argument(help="a release id, a version's number, or `latest`")],
    fault: Annotated[
        str, typer.Option(help='for a drill, for example "error_rate=0.05"; see docs/how-to/drill.md')
    ] = "",
    force: Annotated[str, typer.Option(help="try a quarantined release again; say why: it is recorded")] = "",
    *,
    env: cli_image.Env = "",
    image: cli_image.ByDigest = "",
    key: cli_image.LookFirst = None,
    remote: cli_image.Remote = "",
    branch: cli_image.Branch = "",
    insecure: cli_image.Insecure = False,
) -> None:
    """Write the release file, commit it, push it: the canary begins."""
    from coalmine.release.install import REMOTE
    from coalmine.release.publish import Target
    from coalmine.release.publish import release as publish

    here = settings()
    if env and env != here.env:
        here = here.model_copy(update={"env": env})
        what, to = cli_image.of_cluster(
            here, wanted, image=image, key=key, remote=remote, branch=branch, insecure=insecure
        )
    else:
        what, to = wanted, Target(remote or REMOTE, branch)
    commit = publish(here, what, checkout=here.project, faults=fault, force=force, say=output.tell, to=to)
    output.show({"commit": commit}, lines=[f"{branch or 'main'} is at {commit[:12]}"])


@app.command()
def report(wanted: Annotated[str, typer.Argument(help="a release id")]) -> None:
    """Where the report on a release is, and its verdict in one sentence."""
    from coalmine.local import status as statuses

    found = statuses.find_report(settings(), wanted)
    output.show(found, lines=[str(found["sentence"]), str(found["html"])])


app.command()(cli_drift.drift)
app.command()(cli_judge.backtest)
app.command()(cli_judge.plan)
app.command()(cli_image.check)
app.command()(cli_lint.lint)
app.command()(cli_new.new)
app.command()(cli_cluster.closer)
app.command()(cli_backup.backup)
app.command()(cli_backup.verify_backup)
app.command()(cli_backup.restore)
app.command()(cli_pipeline.step)
app.command()(cli_pipeline.airflow)


def _options(given: list[str] | None) -> Mapping[str, object]:
    """`name=value` pairs; a value is a number where it reads as one."""
    found: dict[str, object] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadInput(f"{pair!r} is no name=value", where="--option", remedy="for example --option c=2.0")
        try:
            found[name] = float(value) if "." in value else int(value)
        except ValueError:
            found[name] = value
    return found


def main() -> None:
    """The entry point: a user's mistake is a sentence and an exit code, never a traceback."""
    given = sys.argv[1:]
    # `--json` is each command's: it may stand anywhere, and is taken once for all of them.
    ordered = sorted(given, key=lambda word: word != "--json")
    try:
        app(args=ordered, standalone_mode=True)
    except CoalmineError as error:
        output.fail(error)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
