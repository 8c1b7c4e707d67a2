"""A dataset -> what the checks say of it. A failed one stops the run before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from coalmine.errors import BadInput, Missing, Refused
from coalmine.records import DataCheck, Dataset, Found, Validation
from coalmine.settings import Settings
from coalmine.steps import checks as checking
from coalmine.steps.collect import FEEDBACK, fingerprint, read_rows
from coalmine.steps.said import users_of
from coalmine.steps.workload import EVALUATION, Task, Workload, load_workload, task_of

if TYPE_CHECKING:
    import polars as pl


def validate(settings: Settings, dataset: Dataset) -> Validation:
    """Check the rows of `dataset`, and the votes behind its snapshot where some were learnt from.

    Raises:
        Refused: a check failed; the message says which, by how much, and where to look.
        BadInput: the dataset or `checks.yaml` cannot be read.
        Missing: pandera or polars is not installed.
    """
    bounds = checking.load_checks(settings.project / "bentos" / settings.model / checking.FILE)
    workload = load_workload(settings.project, settings.model)
    task = task_of(workload)
    frame = _frame(dataset)
    try:
        found = checking.schema(frame, bounds, task=task)
    except ImportError as error:  # no package is never "nothing wrong"
        raise _missing(error) from error
    if all(check.found is Found.PASSED for check in found):
        read_rows(dataset)  # the digest: these are the rows that the record names
        found += checking.rows(frame, bounds)
        found.append(_leakage(workload, frame))
        if task is Task.CLASSIFICATION:  # numbers have no balance, and two of them need not contradict each other
            found.append(checking.balance(frame, bounds))
            found.append(checking.contradictions(frame, bounds, domain=FEEDBACK))
        if dataset.snapshot is not None:
            found.append(checking.flood(users_of(settings, dataset.snapshot), bounds))
    return _refuse(Validation(dataset, tuple(found)))


def _frame(dataset: Dataset) -> pl.DataFrame:
    try:
        import polars  # noqa: PLC0415, ICN001 (heavy: only where rows are checked; typed by its own name above)
    except ImportError as error:
        raise _missing(error) from error
    try:
        return polars.read_parquet(dataset.path)
    except (OSError, polars.exceptions.PolarsError) as error:
        remedy = "run `coalmine collect`: it collects the rows again"
        raise BadInput(f"it cannot be read: {error}", where=dataset.path, remedy=remedy) from error


def _missing(error: ImportError) -> Missing:
    return Missing(f"the checks need {error.name}", remedy="pip install 'coalmine[lake]'")


def _leakage(workload: Workload, frame: pl.DataFrame) -> DataCheck:
    held_out = workload.rows(workload.domains, split=EVALUATION)
    return checking.leakage(
        frame,
        entities={row.entity for row in held_out},
        prints={fingerprint(row.text) for row in held_out},
        fingerprints=[fingerprint(text or "") for text in frame["text"]],
    )


def _refuse(validation: Validation) -> Validation:
    failed = [check for check in validation.checks if check.found is Found.FAILED]
    if failed:
        raise Refused(
            "; ".join(f"{check.name}: {check.what}{_look(check.look_at)}" for check in failed),
            where=validation.dataset.path,
            remedy="mend the source of these rows, or change the bound in checks.yaml and say why in the commit",
        )
    return validation


def _look(places: Iterable[str]) -> str:
    named = ", ".join(places)
    return f" (look at {named})" if named else ""
