"""A gated candidate -> a version in MLflow's registry, with its lineage and the alias `candidate`."""

from __future__ import annotations

from typing import Any

from coalmine.errors import BadInput, Broken, Refused
from coalmine.records import Evaluation, ModelVersion
from coalmine.settings import Settings
from coalmine.steps import card
from coalmine.steps.gates import explain
from coalmine.steps.tracking import CANDIDATE, TAG, calling_mlflow, connect

_DESCRIPTION = 4900


@calling_mlflow()
def register(settings: Settings, evaluation: Evaluation) -> ModelVersion:
    """Make the version, or find it: a run has one. The alias `champion` is not touched here, ever.

    Raises: Refused for an evaluation that failed and was not overridden.
    """
    if not evaluation.passed and not evaluation.override:
        raise Refused(f"the offline gate failed: {explain(evaluation.checks)}", where="register")
    client = connect(settings).MlflowClient()
    candidate = evaluation.candidate
    tags = {
        TAG + "dataset_digest": candidate.dataset_digest,
        TAG + "git_sha": candidate.git_sha,
        TAG + "environment": candidate.environment,
        TAG + "gate": "passed" if evaluation.passed else "overridden",
        TAG + "champion_then": str(evaluation.champion_version or ""),
    }
    told = {"snapshot": candidate.snapshot, "retraining": candidate.retraining}
    tags |= {TAG + name: value for name, value in told.items() if value}
    if not evaluation.passed:
        tags[TAG + "override"] = evaluation.override
    _ensure_model(client, candidate.model)
    version = _of_run(client, candidate.model, candidate.run_id) or client.create_model_version(
        candidate.model,
        candidate.model_uri,
        run_id=candidate.run_id,
        tags=tags,
        model_id=candidate.model_uri.removeprefix("models:/"),  # a server believes no source without it
    )
    _describe(settings, client, version, evaluation)
    client.set_registered_model_alias(candidate.model, CANDIDATE, version.version)
    return _record(version)


@calling_mlflow()
def find_version(settings: Settings, which: int | str) -> ModelVersion:
    """A version by its number or an alias. Raises BadInput where there is none; Broken where it lacks its lineage."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (MLflow takes seconds to import)

    client = connect(settings).MlflowClient()
    try:
        if str(which).isdigit():
            return _record(client.get_model_version(settings.model, str(which)))
        return _record(client.get_model_version_by_alias(settings.model, str(which)))
    except MlflowException as error:
        raise BadInput(
            f"model {settings.model!r} has no version or alias {which!r} in the registry",
            where=settings.tracking_uri,
            remedy="`coalmine train` registers one",
        ) from error


def _ensure_model(client: Any, model: str) -> None:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (as above)

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _describe(settings: Settings, client: Any, version: Any, evaluation: Evaluation) -> None:
    """The model card: as the version's description, and as a file of its run."""
    run = client.get_run(evaluation.candidate.run_id)
    own = settings.project / "bentos" / settings.model / "card.md"
    facts = card.Facts(
        model=version.name,
        version=int(version.version),
        params=run.data.params,
        metrics=run.data.metrics,
        tags=run.data.tags,
        intended=own.read_text(encoding="utf-8") if own.is_file() else "",
    )
    written = card.render(facts, evaluation)
    client.log_text(evaluation.candidate.run_id, written, "model_card.md")
    client.update_model_version(version.name, version.version, description=_shortened(written))


def _shortened(text: str) -> str:
    """A description is a column of 5,000 characters; the file has all of it."""
    cut = text.rfind("\n", 0, _DESCRIPTION)
    return text if len(text) <= _DESCRIPTION else f"{text[:cut]}\n\nThe rest stands in the run's model_card.md.\n"


def _of_run(client: Any, model: str, run_id: str) -> Any | None:
    found = client.search_model_versions(f"name='{model}' and run_id='{run_id}'")
    return min(found, key=lambda version: int(version.version), default=None)


def _record(version: Any) -> ModelVersion:
    tags = version.tags
    try:
        return ModelVersion(
            model=version.name,
            version=int(version.version),
            run_id=version.run_id,
            dataset_digest=tags[TAG + "dataset_digest"],
            git_sha=tags[TAG + "git_sha"],
            environment=tags[TAG + "environment"],
            override=tags.get(TAG + "override", ""),
            snapshot=tags.get(TAG + "snapshot", ""),
            retraining=tags.get(TAG + "retraining", ""),
        )
    except KeyError as error:
        raise Broken(
            f"version {version.version} of {version.name} lacks the tag {error.args[0]}",
            where="registry",
            remedy="register models with `coalmine train` only",
        ) from error
