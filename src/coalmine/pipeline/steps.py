"""The steps of a run, in order: each reads the records of those before it and leaves its own, once.

Killed anywhere, a step is done again by whoever calls it again; done, it answers with its record. A scheduler therefore
needs no memory: it may call every step of a run twice, in a process or a pod each, on the same state folder.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coalmine.errors import BadInput, CoalmineError, NothingToDo, Temporary
from coalmine.pipeline import runs
from coalmine.pipeline.plan import Plan, folder_of, read_plan, runs_of
from coalmine.records import Candidate, Dataset, Evaluation, ModelVersion, Release, Released, Validation
from coalmine.settings import Settings
from coalmine.steps import handover

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Work:
    """One run's place: what its steps read and write."""

    settings: Settings
    plan: Plan
    folder: Path
    tell: Tell

    def take(self, kind: type[Any]) -> Any:
        return handover.take(self.folder, kind)


def collect(work: Work) -> Dataset:
    from coalmine.steps.collect import collect as step  # noqa: PLC0415 (pyarrow: only where it collects)

    made = step(work.settings, domains=work.plan.domains, votes=work.plan.votes)
    named = f", snapshot {made.snapshot.digest[:12]}" if made.snapshot else ""
    work.tell(f"{made.rows:,} rows from {', '.join(made.sources)}, digest {made.digest[:12]}{named}")
    return made


def validate(work: Work) -> Validation:
    from coalmine.steps.validate import validate as step  # noqa: PLC0415 (pandera: only where it checks)

    made = step(work.settings, work.take(Dataset))
    work.tell("; ".join(f"{check.name} {check.found}" for check in made.checks))
    return made


def train(work: Work) -> Candidate:
    from coalmine.steps.train import train as step  # noqa: PLC0415 (MLflow takes seconds to import)

    plan = work.plan
    return step(
        work.settings,
        work.take(Validation).dataset,
        seed=plan.seed,
        options=plan.options,
        retraining=plan.run,
        incremental=plan.mode == "incremental",
        tell=work.tell,
    )


def evaluate(work: Work) -> Evaluation:
    """Raises NothingToDo, saying by how much, where the candidate is no better than the champion."""
    from coalmine.steps.evaluate import evaluate as step  # noqa: PLC0415 (as above)

    plan = work.plan
    made = step(work.settings, work.take(Candidate), override=plan.override, better_by=plan.better_by)
    gained = "no champion yet" if made.gain is None else f"gain {made.gain:+.4f}"
    work.tell(", ".join([gained, *(f"{c.name} {c.value:.3f} (bound {c.bound:.3f})" for c in made.checks)]))
    return made


def register(work: Work) -> ModelVersion:
    from coalmine.steps.register import register as step  # noqa: PLC0415 (as above)

    made = step(work.settings, work.take(Evaluation))
    work.tell(f"{made.model} version {made.version}")
    return made


def package(work: Work) -> Release:
    from coalmine.release.ledger import Ledger  # noqa: PLC0415 (with the step that needs it)
    from coalmine.steps.package import package as step  # noqa: PLC0415 (MLflow takes seconds to import)

    made = Ledger(work.settings.database).add(step(work.settings, work.take(ModelVersion)))
    work.tell(f"{made.id}  {made.bento_path}")
    return made


def release(work: Work) -> Released:
    from coalmine.release.publish import release as publish  # noqa: PLC0415 (with the step that needs it)

    made: Release = work.take(Release)
    if not work.plan.release:
        raise NothingToDo(f"{made.id} is packaged and, as asked, not released", where=f"run {work.plan.run}")
    commit = publish(work.settings, made, checkout=work.settings.project, say=work.tell)
    work.tell(f"main is at {commit[:12]}, which names {made.id}")
    return Released(made.id, commit)


# In order: the step, and the record that it leaves.
STEPS: dict[str, tuple[Callable[[Work], Any], type[Any]]] = {
    "collect": (collect, Dataset),
    "validate": (validate, Validation),
    "train": (train, Candidate),
    "evaluate": (evaluate, Evaluation),
    "register": (register, ModelVersion),
    "package": (package, Release),
    "release": (release, Released),
}


def run_step(settings: Settings, run_id: str, name: str, *, tell: Tell = lambda _: None) -> Any:
    """Do one step of a run, or find it done; returns its record.

    Raises: NothingToDo where the run has ended well before it; what the step raises. An error that may not pass by
    itself ends the run, so that the next may begin; the same run may still be gone on with by its id.
    """
    if name not in STEPS:
        raise BadInput(f"unknown step {name!r}", where="step", remedy=f"one of {', '.join(STEPS)}")
    step, kind = STEPS[name]
    plan, folder, store = read_plan(settings, run_id), folder_of(settings, run_id), runs_of(settings)
    with _alone(folder):
        if (done := handover.find(folder, kind)) is not None:
            tell(f"{name}: done already")
            return done
        store.go_on(run_id)
        try:
            made = step(Work(settings, plan, folder, tell))
        except NothingToDo as answer:
            store.end(run_id, runs.NO_BETTER, answer.what)
            raise
        except Temporary:
            raise
        except CoalmineError as error:
            store.end(run_id, runs.FAILED, f"{name}: {error.what}")
            raise
        handover.leave(folder, made)
        if isinstance(made, Released):
            store.end(run_id, runs.RELEASED, f"{made.release} by {made.commit[:12]}")
        return made


def run_all(
    settings: Settings, run_id: str, *, tell: Tell = lambda _: None, before: Callable[[], None] = lambda: None
) -> Any:
    """All steps in this process, from the first that is not done; `before` each comes what holds it to its limits.

    Returns the last one's record.
    """
    made = None
    for name in STEPS:
        before()
        made = run_step(settings, run_id, name, tell=tell)
    return made


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time on a run: a scheduler that lost sight of a step may start it again. Freed by any death."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Temporary("a step of this run goes on in another process", where=str(folder)) from error
        yield
