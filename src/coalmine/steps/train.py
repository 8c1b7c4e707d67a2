"""A dataset -> a candidate in MLflow's tracking store."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coalmine.errors import BadInput
from coalmine.records import Candidate, Dataset
from coalmine.settings import Settings
from coalmine.steps.collect import read_rows
from coalmine.steps.tracking import TAG, calling_mlflow, champion, connect, environment, experiment, head
from coalmine.steps.workload import Row, Task, load_workload, task_of

LEAST = 5  # entities of each label; below it a held-out share says nothing
_NEEDED = ("scikit-learn", "numpy", "scipy", "joblib")  # to unpickle the model; found by hand, MLflow's way takes 10 s


@calling_mlflow()
def train(
    settings: Settings,
    dataset: Dataset,
    *,
    seed: int = 0,
    options: Mapping[str, object] | None = None,
    incremental: bool = False,
    retraining: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> Candidate:
    """Fit the workload's model and log it with all that it was made from. Same dataset and seed: same model digest.

    `incremental` goes on from the champion; without one it trains in full. `retraining` names the pipeline's run, for
    whoever follows a version back. `tell` hears how far it is.

    Raises: BadInput for rows that nothing can be learnt from, for an unknown option, and for a workload without
    `refit` where it is to go on from the champion; Missing without MLflow.
    """
    workload = load_workload(settings.project, settings.model)
    rows = read_rows(dataset)
    look_early(rows, task_of(workload), where=dataset.path)
    given = dict(options or {})
    lineage = {"dataset_digest": dataset.digest, "git_sha": head(settings.project), "environment": environment()}
    mlflow = connect(settings)
    client = mlflow.MlflowClient()
    started = time.perf_counter()
    before = champion(mlflow, settings.model) if incremental else None
    tell(f"fitting {len(rows):,} rows" + (f", on from version {before.version}" if before else ""))
    estimator = _fitted(mlflow, workload, rows, before, seed=seed, options=given)
    seconds = time.perf_counter() - started
    tags = {TAG + key: value for key, value in lineage.items()} | {TAG + "sources": "; ".join(dataset.sources)}
    tags |= {TAG + "mode": f"on from version {before.version}" if before else "full"}
    tags |= {TAG + "model_digest": digest(estimator)} | _origin(dataset, retraining)
    tell(f"fitted in {seconds:.1f} s, model digest {tags[TAG + 'model_digest'][:12]}")
    with mlflow.start_run(experiment_id=experiment(settings, client), tags=tags) as run:
        counts = {"rows": dataset.rows, "positives": dataset.positives}
        mlflow.log_params({"seed": seed} | {k: v for k, v in counts.items() if v is not None} | given)
        mlflow.log_metric("fit_seconds", seconds)
        info = _log_model(mlflow, estimator, task=task_of(workload))
    snapshot = dataset.snapshot.digest if dataset.snapshot else ""
    return Candidate(
        settings.model, run.info.run_id, info.model_uri, **lineage, snapshot=snapshot, retraining=retraining
    )


def _origin(dataset: Dataset, retraining: str) -> dict[str, str]:
    """Which run of the pipeline, and which rows of the lake: from its versions and query anyone rebuilds them."""
    found = {TAG + "retraining": retraining} if retraining else {}
    if dataset.snapshot is not None:
        found[TAG + "snapshot"] = dataset.snapshot.digest
        found[TAG + "snapshot_record"] = json.dumps(dataclasses.asdict(dataset.snapshot), sort_keys=True)
    return found


def _fitted(
    mlflow: Any, workload: Any, rows: Sequence[Row], before: Any | None, *, seed: int, options: Mapping[str, object]
) -> Any:
    if before is None:
        return workload.fit(rows, seed=seed, options=options)
    if not hasattr(workload, "refit"):
        remedy = "give it `refit(estimator, rows, seed, options)`, or say mode: full in retraining.yaml"
        raise BadInput("its workload cannot go on from a fitted model", where=f"bentos/{before.name}", remedy=remedy)
    fitted = mlflow.sklearn.load_model(f"models:/{before.name}/{before.version}")
    return workload.refit(fitted, rows, seed=seed, options=options)


def look_early(rows: Sequence[Row], task: Task, *, where: str) -> None:
    """Before minutes are spent on them. Raises BadInput for rows that nothing sound can be learnt from."""
    wrong = [number for number, row in enumerate(rows) if not (math.isfinite(row.weight) and row.weight > 0)]
    if wrong:
        raise BadInput(f"{len(wrong)} rows have no weight above 0, the first is row {wrong[0]}", where=where)
    if task is Task.REGRESSION:
        return
    for label in (0, 1):
        entities = {row.entity for row in rows if row.label == label}
        if len(entities) < LEAST:
            raise BadInput(
                f"label {label} comes from {len(entities)} entities, {LEAST} are the least to learn from",
                where=where,
                remedy="collect more rows of it",
            )


def digest(estimator: Any) -> str:
    """sha256 of what is packaged: the fitted estimator as joblib writes it."""
    import joblib  # noqa: PLC0415 (heavy)

    written = io.BytesIO()
    joblib.dump(estimator, written)
    return hashlib.sha256(written.getvalue()).hexdigest()


def _log_model(mlflow: Any, estimator: Any, *, task: Task) -> Any:
    from mlflow.models import ModelSignature  # noqa: PLC0415 (MLflow takes seconds to import)
    from mlflow.types import ColSpec, Schema  # noqa: PLC0415 (as above)

    answer = "double" if task is Task.REGRESSION else "long"
    signature = ModelSignature(Schema([ColSpec("string", "text")]), Schema([ColSpec(answer)]))
    pinned = [f"{name}=={importlib.metadata.version(name)}" for name in _NEEDED]
    # skops, the default, takes 7 s to log and as long to load; the file is our own and its digest travels with it.
    return mlflow.sklearn.log_model(
        estimator, name="model", signature=signature, pip_requirements=pinned, serialization_format="cloudpickle"
    )
