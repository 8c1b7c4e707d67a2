"""A candidate -> the offline gate's word on it, logged to its run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from coalmine.errors import NothingToDo, Refused
from coalmine.records import Candidate, Evaluation
from coalmine.settings import Settings
from coalmine.steps.gates import Measures, decide, explain, gain, load_gates, no_better
from coalmine.steps.measures import ERRORS, MeasureOf, measures_of
from coalmine.steps.tracking import TAG, calling_mlflow, champion, connect
from coalmine.steps.workload import EVALUATION, Row, load_workload


@calling_mlflow()
def evaluate(
    settings: Settings, candidate: Candidate, *, override: str = "", better_by: float | None = None
) -> Evaluation:
    """Judge a candidate on held-out rows: fixed floors, and the champion on the same rows where there is one.

    `override` is a person's reason for going on past a failed gate; it is recorded and travels with the version.
    With `better_by` the candidate must gain more than that over the champion: nobody asked for this very one.

    Raises:
        NothingToDo: above every floor, but no better than the champion by what was wanted; says by how much.
        Refused: a check failed and there is no override; the message says which and by how much.
        BadInput: gates.yaml is wrong or names a slice or measure that does not exist.
    """
    folder = settings.project / "bentos" / settings.model
    gates = load_gates(folder / "gates.yaml")
    workload = load_workload(settings.project, settings.model)
    rows = workload.rows(workload.domains, split=EVALUATION)
    measures = measures_of(gates, rows, labels=workload.labels, where=str(folder / "gates.yaml"))
    mlflow = connect(settings)
    values = _measure(mlflow, candidate.run_id, candidate.model_uri, rows=rows, measures=measures)
    version, against = None, None
    if (found := champion(mlflow, settings.model)) is not None:
        version = int(found.version)
        uri = f"models:/{settings.model}/{version}"
        against = _measure(mlflow, candidate.run_id, uri, rows=rows, measures=measures, prefix="champion.")
    gained = None if against is None else gain(gates, values, against)
    evaluation = Evaluation(candidate, version, decide(gates, values, against), override.strip(), gained)
    _log(mlflow.MlflowClient(), evaluation)
    if evaluation.override:
        return evaluation
    why = "" if better_by is None else no_better(evaluation.checks, gained, better_by=better_by)
    if why:
        raise NothingToDo(why, where=f"run {candidate.run_id}")
    if not evaluation.passed:
        raise Refused(
            f"the offline gate failed: {explain(evaluation.checks)}",
            where=f"run {candidate.run_id}",
            remedy='train on better rows, or go on with --override "<reason>", which is recorded',
        )
    return evaluation


def _measure(
    mlflow: Any,
    run_id: str,
    uri: str,
    *,
    rows: Sequence[Row],
    measures: dict[tuple[str, str], MeasureOf],
    prefix: str = "",
) -> Measures:
    """Predict with the model at `uri` and let MLflow compute and log each measure to the run."""
    import pandas as pd  # noqa: PLC0415 (heavy)

    estimator = mlflow.sklearn.load_model(uri)
    predictions = estimator.predict([row.text for row in rows])
    # As floats: of whole numbers MLflow warns that they cannot be missing.
    frame = pd.DataFrame({"label": [row.label for row in rows], "prediction": predictions}, dtype=float)
    metrics = [
        mlflow.models.make_metric(
            eval_fn=lambda predictions, targets, metrics, of=of: of(predictions, targets),  # noqa: ARG005 (MLflow's)
            greater_is_better=measure not in ERRORS,
            name=f"{prefix}{name}.{measure}",
        )
        for (name, measure), of in measures.items()
    ]
    with mlflow.start_run(run_id=run_id):
        result = mlflow.models.evaluate(
            data=frame, targets="label", predictions="prediction", extra_metrics=metrics, evaluators="default"
        )
    return {key: float(result.metrics[f"{prefix}{key[0]}.{key[1]}"]) for key in measures}


def _log(client: Any, evaluation: Evaluation) -> None:
    run_id = evaluation.candidate.run_id
    word = "passed" if evaluation.passed else "overridden" if evaluation.override else "failed"
    client.set_tag(run_id, TAG + "gate", word)
    if evaluation.override:
        client.set_tag(run_id, TAG + "override", evaluation.override)
    table = [dataclasses.asdict(check) | {"margin": check.margin} for check in evaluation.checks]
    if evaluation.gain is not None:
        client.log_metric(run_id, "gain", evaluation.gain)
    client.log_dict(run_id, {"gate": word, "override": evaluation.override, "checks": table}, "gate.json")
