"""What one run is to do, fixed when it begins: a policy changed meanwhile is the next run's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from coalmine.errors import BadInput, Broken
from coalmine.files import write_whole
from coalmine.pipeline.due import Due
from coalmine.pipeline.facts import gather
from coalmine.pipeline.policy import Limits, Retraining, load_policy
from coalmine.pipeline.runs import Run, Runs, check_id
from coalmine.settings import Settings
from coalmine.steps.package import refuse_dirty


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person, or a scheduler's form, says over the policy. An empty mode is the policy's."""

    by_hand: bool = False
    mode: str = ""
    override: str = ""
    release: bool = True


def wishes(because: str, mode: str, override: str, release: str) -> Wishes:
    """From words, as commands and forms have them. Raises BadInput for one that is not known."""
    known = (("--because", because, ("due", "hand")), ("--mode", mode, ("", "full", "incremental")))
    for field_, word, words in (*known, ("--release", release.lower(), ("yes", "no", "true", "false"))):
        if word not in words:
            raise BadInput(f"unknown word {word!r}", where=field_, remedy=f"one of {', '.join(filter(None, words))}")
    return Wishes(because == "hand", mode, override, release.lower() in {"yes", "true"})


@dataclass(frozen=True, slots=True)
class Plan:
    """`<state>/runs/<run id>/plan.json`."""

    run: str
    reason: str
    why: str
    started: float
    mode: str
    domains: tuple[str, ...]
    votes: bool
    seed: int
    options: Mapping[str, str | int | float]
    better_by: float
    limits: Limits
    override: str = ""
    release: bool = True
    links: Mapping[str, str] = field(default_factory=dict)


def runs_of(settings: Settings) -> Runs:
    return Runs(settings.runs / "runs.db")


def folder_of(settings: Settings, run_id: str) -> Path:
    """Where a run's records lie."""
    return settings.runs / check_id(run_id)


def start(settings: Settings, run_id: str, wished: Wishes) -> Plan:
    """Begin a run if one is due; the same id again is the same run, with the plan that it had.

    Raises: NothingToDo where none is due; Refused for uncommitted changes; BadInput for a bad policy.
    """
    folder, policy, runs = folder_of(settings, run_id), load_policy(settings), runs_of(settings)
    refuse_dirty(settings.project, settings.state)
    run = runs.claim(run_id, policy, gather(settings, runs), by_hand=wished.by_hand)
    path = folder / "plan.json"
    if not path.exists():
        plan = _plan(settings, run, policy, wished, number=runs.count())
        write_whole(path, TypeAdapter(Plan).dump_json(plan, indent=1).decode())
    return read_plan(settings, run_id)


def due_now(settings: Settings) -> Due:
    """What `start` would answer now, with nothing begun."""
    runs = runs_of(settings)
    return runs.due(load_policy(settings), gather(settings, runs))


def read_plan(settings: Settings, run_id: str) -> Plan:
    """Raises BadInput for a run that never began, Broken for a plan that was changed by hand."""
    path = folder_of(settings, run_id) / "plan.json"
    try:
        return TypeAdapter(Plan).validate_json(path.read_bytes())
    except FileNotFoundError as error:
        remedy = f"begin it: coalmine pipeline start --run {run_id}"
        raise BadInput("no such run", where=str(path), remedy=remedy) from error
    except ValidationError as error:
        raise Broken(error.errors()[0]["msg"], where=str(path)) from error


def _plan(settings: Settings, run: Run, policy: Retraining, wished: Wishes, *, number: int) -> Plan:
    how = policy.how
    return Plan(
        run=run.id,
        reason=run.reason,
        why=run.why,
        started=run.started,
        mode=wished.mode or choose(how.mode, number, full_every=how.full_every),
        domains=how.domains,
        votes=how.votes,
        seed=how.seed,
        options=how.options,
        better_by=policy.better_by,
        limits=policy.limits,
        override=wished.override,
        release=wished.release,
        links={"mlflow": settings.mlflow_url},
    )


def choose(mode: str, number: int, *, full_every: int) -> str:
    """An incremental policy trains in full at the first run and at each `full_every`-th after it."""
    return "full" if mode == "full" or (number - 1) % full_every == 0 else mode
