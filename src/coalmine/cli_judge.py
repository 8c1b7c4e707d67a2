"""What can be asked of the judge without a canary: `coalmine backtest` looks back, `coalmine plan` ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coalmine import output
from coalmine.errors import BadInput

if TYPE_CHECKING:
    from coalmine.judge.backtest import Flagger, Recording
    from coalmine.judge.backtest.compare import Compared, Reader
    from coalmine.judge.explain import Finding
    from coalmine.judge.plan import Question
    from coalmine.judge.policy import Policy
    from coalmine.judge.simulate import Ramp

_LONG = 100_000_000  # bytes that take more than a moment to read
Policies = Annotated[
    list[Path] | None, typer.Option("--policy", help="judge by this one; may be repeated; default: the empty policy")
]
Thresholds = Annotated[
    list[Path] | None, typer.Option("--flagger", help="a Canary whose own thresholds are a baseline; may be repeated")
]
Plot = Annotated[Path | None, typer.Option(help="draw it into this .svg or .png file")]
Files = Annotated[list[Path] | None, typer.Argument(help="files of polls, or access logs: the first line tells")]
Polls = Annotated[Path | None, typer.Option(help="a file of polls, one JSON line each")]
ZTest = Annotated[bool, typer.Option("--z-test", help="a z-test at every look as a baseline")]
Database = Annotated[str, typer.Option(help="a judge's database (a file of SQLite, or a URL), with its stored policy")]
Analysis = Annotated[int | None, typer.Option(help="with --database: which of its analyses")]
Prometheus = Annotated[str, typer.Option(help="read a range from the Prometheus at this URL")]
Namespace = Annotated[str, typer.Option(help="with --prometheus: the canary's namespace")]
Name = Annotated[str, typer.Option(help="with --prometheus: the canary's name")]
Start = Annotated[str, typer.Option(help="with --prometheus: Unix seconds, or a time like 2026-05-01T12:00:00+00:00")]
End = Annotated[str, typer.Option(help="with --prometheus: as --start")]


def backtest(
    files: Files = None,
    *,
    polls: Polls = None,
    policy: Policies = None,
    flagger: Thresholds = None,
    z_test: ZTest = False,
    database: Database = "",
    analysis: Analysis = None,
    prometheus: Prometheus = "",
    namespace: Namespace = "",
    name: Name = "",
    start: Start = "",
    end: End = "",
    plot: Plot = None,
) -> None:
    """What would have been decided, when, and at what cost to users.

    Judges a recorded rollout again under any policy, by the code that runs
    live. Recorded is a file of polls, an access log with rollouts in it, an
    analysis in a judge's database, or a range in Prometheus. Several policies
    stand side by side; --flagger and --z-test add what others would have made
    of the same requests. With --json the object is the first policy's verdict,
    and `compared` holds every row. Exit 0 whatever was decided.

    Example: coalmine backtest access.jsonl --policy a.yaml --policy b.yaml
    """
    from coalmine import cli_tables
    from coalmine.judge import backtest as judge

    paths = [*(files or ()), *([polls] if polls else ())]
    place = {"prometheus": prometheus, "namespace": namespace, "name": name, "start": start, "end": end}
    read, stored = _recorded(paths, database, analysis, place)
    policies, rules = _policies(policy, stored=stored), [judge.load_flagger(path) for path in flagger or ()]
    found = judge.compare(read, policies, flagger=rules, z_test=z_test)
    findings = _findings(policies, rules, found=found)
    _draw(plot, lambda pictures: pictures.evidence(found.results, alpha=policies[0][1].alpha))
    result = {**judge.to_json(found.first), "compared": _rows(found.results, "trace"), "findings": _told(findings)}
    lines = cli_tables.verdict_lines(found.first) if len(found.results) == 1 else cli_tables.rows(found.results)
    output.show(result, lines=[*lines, *cli_tables.finding_lines(findings)])


Rps = Annotated[float, typer.Option(help="requests a second, both arms together")]
ErrorRate = Annotated[float, typer.Option(help="the primary's share of bad requests, such as 0.005")]
Canary = Annotated[Path | None, typer.Option(help="a Canary: its ramp, and its thresholds as a baseline")]
Weights = Annotated[str, typer.Option(help="the ramp in percent; default: the Canary's, or 5,10,25,50")]
Interval = Annotated[float | None, typer.Option(help="seconds a step lasts at least; default: the Canary's, or 10")]
Votes = Annotated[float | None, typer.Option(help="votes a second on predictions; 0: there are none")]
Runs = Annotated[int, typer.Option(min=50, max=100_000, help="healthy releases; each fault has a quarter of it")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed gives the same numbers")]
MaxRequests = Annotated[int, typer.Option(min=1, help="canary requests after which a run counts as undecided")]


def plan(
    *,
    rps: Rps,
    error_rate: ErrorRate,
    policy: Policies = None,
    canary: Canary = None,
    weights: Weights = "",
    interval: Interval = None,
    flagger: Thresholds = None,
    votes: Votes = None,
    runs: Runs = 1000,
    seed: Seed = 0,
    max_requests: MaxRequests = 20_000,
    plot: Plot = None,
) -> None:
    """What a policy will catch, how fast, and how often it is wrong.

    Simulates healthy releases and canaries that fail 1, 2, 5 and 20 % of their
    requests at a level of traffic, by the judge's own rules, and beside them
    Flagger's counting of failed checks. Requests, failures and times are those
    of the runs that ended as they should: a healthy release promoted, another
    rolled back. After `<` stands the 99 % upper bound of a false rollback.

    Example: coalmine plan --rps 20 --error-rate 0.005 --policy policy.yaml
    """
    from coalmine import cli_tables
    from coalmine.judge import plan as plans
    from coalmine.judge.backtest import load_flagger

    rules = [load_flagger(path) for path in [*([canary] if canary else ()), *(flagger or ())]]
    ramp = _ramp(rules[0] if canary else None, weights, interval)
    followed = [one for one in rules[: 1 if canary else 0] if one.checks and one.weights] + rules[1 if canary else 0 :]
    question = plans.Question(ramp, rps, error_rate, runs=runs, seed=seed, max_canary_requests=max_requests)
    policies = _policies(policy)
    outlooks = plans.plan(question, policies, flagger=followed, tell=output.tell)
    findings = _findings(policies, rules, question=question, votes=votes)
    _draw(plot, lambda pictures: pictures.outlooks(outlooks))
    lines = [*cli_tables.plan_lines(outlooks), *cli_tables.finding_lines(findings)]
    output.show({"outlooks": _rows(outlooks, "ended"), "findings": _told(findings)}, lines=lines)


# ---- what was asked ---------------------------------------------------------------------------------------------


def _recorded(
    paths: Sequence[Path], database: str, analysis: int | None, place: dict[str, str]
) -> tuple[Reader, str | None]:
    """How to read what was recorded, and the policy stored with it. Raises BadInput unless just one is named."""
    from coalmine.judge import backtest as judge

    if sum(map(bool, (paths, database, place["prometheus"]))) != 1:
        raise BadInput(
            "name what was recorded, and one kind of it",
            remedy="files of polls or access logs, or --database FILE --analysis N, or --prometheus URL",
        )
    if paths:
        return (lambda policy: _from_files(paths, policy)), None
    if database:
        if analysis is None:
            raise BadInput("which analysis?", where="--database", remedy="--analysis 1")
        recording, stored = judge.from_database(database, analysis)
        return (lambda policy: [recording]), stored  # noqa: ARG005 (polls are cut already)
    missing = [key for key, value in place.items() if not value]
    if missing:
        raise BadInput(f"--{missing[0]} is missing", where="--prometheus", remedy="it needs all of " + ", ".join(place))
    start, end = _time("--start", place["start"]), _time("--end", place["end"])
    return (
        lambda policy: [
            judge.from_prometheus(place["prometheus"], policy, place["namespace"], place["name"], start=start, end=end)
        ]
    ), None


def _from_files(paths: Sequence[Path], policy: Policy) -> list[Recording]:
    from coalmine.judge import backtest as judge

    size = sum(path.stat().st_size for path in paths if path.exists())
    if size > _LONG:
        output.tell(f"reading {size / 1e6:,.0f} MB")
    return judge.from_files(paths, policy)


def _time(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"{text!r} is no time", where=option, remedy="1767225600 or 2026-01-01T00:00:00+00:00"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _policies(paths: Sequence[Path] | None, *, stored: str | None = None) -> list[tuple[str, Policy]]:
    from coalmine.judge.policy import load_policy

    if paths:
        short = ["/".join(path.parts[-2:]) for path in paths]
        names = short if len(set(short)) == len(short) else [str(path) for path in paths]
        return [(name, load_policy(path)) for name, path in zip(names, paths, strict=True)]
    return [("empty policy", load_policy(""))] if stored is None else [("as stored", load_policy(stored))]


def _ramp(canary: Flagger | None, weights: str, interval: float | None) -> Ramp:
    from coalmine.judge.simulate import Ramp

    try:
        steps = tuple(int(word) for word in weights.split(",")) if weights else ()
    except ValueError as error:
        raise BadInput(f"{weights!r} are no weights", where="--weights", remedy="such as 5,10,25,50") from error
    if canary is None:
        return Ramp(steps or (5, 10, 25, 50), 10.0 if interval is None else interval)
    if not steps and not canary.weights:
        raise BadInput(
            f"Canary {canary.name} has no steps, so Flagger never gives it traffic",
            where="--canary",
            remedy="analysis: {stepWeights: [5, 10, 25, 50]}, or --weights",
        )
    return Ramp(steps or canary.weights, canary.interval if interval is None else interval)


# ---- what is told -----------------------------------------------------------------------------------------------


def _findings(
    policies: Sequence[tuple[str, Policy]],
    rules: Sequence[Flagger],
    *,
    found: Compared | None = None,
    question: Question | None = None,
    votes: float | None = None,
) -> list[tuple[str, Finding]]:
    """Of each policy, then of each Canary. What was decided on record was possible: there the traffic says nothing."""
    from coalmine.judge import explain

    told: list[tuple[str, Finding]] = []
    for name, policy in policies:
        level = question or (found.observed if found is not None and name in found.undecided else None)
        known: dict[str, Any] = {"held": None if found is None else found.held, "votes": votes}
        if level is not None:
            known |= {"rps": level.rps, "ramp": level.ramp, "error_rate": level.error_rate}
        told += [(name, one) for one in explain.impossible(policy, **known)]
    return told + [(f"Flagger: {one.name}", finding) for one in rules for finding in explain.of_flagger(one)]


def _draw(plot: Path | None, what: Callable[[Any], Any]) -> None:
    if plot is not None:
        from coalmine.judge import pictures

        pictures.write(plot, what(pictures))


def _rows(found: Sequence[Any], left_out: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in asdict(one).items() if key != left_out} for one in found]


def _told(findings: Sequence[tuple[str, Finding]]) -> list[dict[str, str]]:
    return [{"by": by, **asdict(finding)} for by, finding in findings]
