"""A dataset -> a candidate in MLflow's tracking store."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping
from typing import Any

from coalmine.records import Candidate, Dataset
from coalmine.settings import Settings
from coalmine.steps.collect import read_rows
from coalmine.steps.tracking import TAG, calling_mlflow, connect, environment, experiment, head
from coalmine.steps.workload import Task, load_workload, task_of

_NEEDED = ("scikit-learn", "numpy", "scipy", "joblib")  # to unpickle the model; found by hand, MLflow's way takes 10 s


@calling_mlflow()
def train(
    settings: Settings, dataset: Dataset, *, seed: int = 0, options: Mapping[str, object] | None = None
) -> Candidate:
    """Fit the workload's model and log it with all that it was made from. Same dataset and seed: same coefficients.

    Raises: BadInput for an unreadable dataset or an unknown option; Missing without MLflow.
    """
    workload = load_workload(settings.project, settings.model)
    rows = read_rows(dataset)
    given = dict(options or {})
    lineage = {"dataset_digest": dataset.digest, "git_sha": head(settings.project), "environment": environment()}
    mlflow = connect(settings)
    client = mlflow.MlflowClient()
    started = time.perf_counter()
    estimator = workload.fit(rows, seed=seed, options=given)
    seconds = time.perf_counter() - started
    tags = {TAG + key: value for key, value in lineage.items()} | {TAG + "sources": "; ".join(dataset.sources)}
    with mlflow.start_run(experiment_id=experiment(settings, client), tags=tags) as run:
        counts = {"rows": dataset.rows, "positives": dataset.positives}
        mlflow.log_params({"seed": seed} | {k: v for k, v in counts.items() if v is not None} | given)
        mlflow.log_metric("fit_seconds", seconds)
        info = _log_model(mlflow, estimator, task=task_of(workload))
    return Candidate(settings.model, run.info.run_id, info.model_uri, **lineage)


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
