"""What the steps ask of a model folder `bentos/<model>/`; they know nothing else of any particular model."""

from __future__ import annotations

import hashlib
import importlib
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, cast

from coalmine.errors import BadInput

TRAIN = "train"
EVALUATION = "evaluation"


class Task(StrEnum):
    """What is predicted: one of two labels, or a number."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled example. Rows of one `entity` (a document, a user) never stand on both sides of a split."""

    text: str  # the input as it is logged: a text itself, or a record as the JSON of coalmine.release.fields
    label: float  # 0 or 1, the place in the workload's `labels`; where a number is predicted, that number
    weight: float
    domain: str
    entity: str


class Workload(Protocol):
    """The object named `workload` in `bentos/<model>/workload.py`."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of labels 0 and 1, as the service answers them and people correct them; empty for a number."""
        ...

    @property
    def domains(self) -> tuple[str, ...]:
        """Where rows come from. The first is what a model starts with; all of them are evaluated on."""
        ...

    def rows(self, domains: Sequence[str], *, split: str) -> list[Row]:
        """Labelled base rows of the split `train` or `evaluation`, always in the same order."""
        ...

    def fit(self, rows: Sequence[Row], *, seed: int, options: Mapping[str, object]) -> Any:
        """A fitted scikit-learn estimator whose `predict(list of texts)` gives labels 0 and 1, or numbers."""
        ...


def task_of(workload: Workload) -> Task:
    """No names of labels: a number is predicted."""
    return Task.CLASSIFICATION if workload.labels else Task.REGRESSION


def load_workload(project: Path, model: str) -> Workload:
    """Import `<project>/bentos/<model>/workload.py`; its neighbours are reached by relative imports.

    Raises: BadInput where there is none, it cannot be imported, or it lacks what the steps need.
    """
    folder = (project / "bentos" / model).resolve()
    path = folder / "workload.py"
    if not path.is_file():
        raise BadInput(f"model {model!r} has no workload", where=str(path), remedy="see bentos/sentiment/workload.py")
    # One package name for each folder: two projects in one process must not see each other's modules, and pickles
    # that name it would not load anywhere else, which shows at once in `package`.
    name = f"_coalmine_model_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    sys.modules.setdefault(name, package)
    try:
        module = importlib.import_module(f"{name}.workload")
    except Exception as error:
        raise BadInput(f"it cannot be imported: {type(error).__name__}: {error}", where=str(path)) from error
    workload = getattr(module, "workload", None)
    lacking = [part for part in ("labels", "domains", "rows", "fit") if not hasattr(workload, part)]
    if lacking:
        raise BadInput(
            f"`workload` lacks {', '.join(lacking)}", where=str(path), remedy="see Workload in coalmine.steps.workload"
        )
    found = cast("Workload", workload)
    if len(found.labels) not in (0, 2):
        remedy = "name labels 0 and 1, or none where a number is predicted"
        raise BadInput(f"`workload.labels` has {len(found.labels)} names", where=str(path), remedy=remedy)
    return found


def sibling(project: Path, model: str, module: str) -> types.ModuleType:
    """Another module of the model's folder, under the same package: for drivers such as the demo."""
    load_workload(project, model)
    folder = (project / "bentos" / model).resolve()
    name = f"_coalmine_model_{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}.{module}"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise BadInput(f"model {model!r} has no module {module}", where=str(folder)) from error
