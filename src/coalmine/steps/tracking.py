"""MLflow as the steps use it: imported late, quiet, with its files below the state folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coalmine.errors import BadInput, Missing, Temporary
from coalmine.release.git import Repository
from coalmine.settings import Settings

CANDIDATE = "candidate"
CHAMPION = "champion"  # moved by release.closer alone
TAG = "coalmine."


def connect(settings: Settings) -> Any:
    """The `mlflow` module, pointed at the settings' store. Makes the store's folder; the first use makes its tables.

    Raises Missing where MLflow is not installed.
    """
    # Read by MLflow when it is imported. A user who wants its telemetry sets the variable.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # where our own result goes
    try:
        import mlflow  # noqa: PLC0415 (takes four seconds)
    except ImportError as error:
        raise Missing("mlflow is not installed", remedy="pip install 'coalmine[local]'") from error
    # It logs each migration of its tables, and advice on pickle that does not apply to models of one's own.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not settings.mlflow_uri:
        (settings.state / "mlflow").mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.tracking_uri)
    return mlflow


@contextmanager
def calling_mlflow() -> Iterator[None]:
    """For all that calls MLflow, as a context or a decorator: its failures as Temporary, its own warnings dropped.

    3.17 calls what SQLAlchemy 2.1 and pandas 3.1 deprecate. Other warnings, a workload's included, come through.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"mlflow(\.|\Z)")
        try:
            yield
        except Exception as error:
            if not type(error).__module__.startswith("mlflow"):
                raise
            said = str(error).splitlines() or [type(error).__name__]
            raise Temporary(
                f"MLflow failed: {said[0]}",
                where="tracking store",
                remedy="look whether the store can be reached and written (mlflow_uri in coalmine.toml), and try again",
            ) from error


def experiment(settings: Settings, client: Any) -> str:
    """The id of the model's experiment, made where there is none."""
    found = client.get_experiment_by_name(settings.model)
    if found is not None:
        return str(found.experiment_id)
    # A server elsewhere has its own place for artifacts.
    place = None if settings.mlflow_uri else (settings.state / "mlflow" / "artifacts").as_uri()
    return str(client.create_experiment(settings.model, artifact_location=place))


def champion(mlflow: Any, model: str) -> Any | None:
    """The version that serves; None before a first release."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (MLflow takes seconds to import)

    try:
        return mlflow.MlflowClient().get_model_version_by_alias(model, CHAMPION)
    except MlflowException as error:
        # No model of that name (a first release) and no such alias answer with different codes.
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def head(project: Path) -> str:
    """The commit that `project` stands on. Raises BadInput where there is none."""
    repository = Repository(project)
    sha = repository.commit("HEAD") if repository.attempt("rev-parse", "--git-dir").code == 0 else None
    if sha is None:
        raise BadInput("no git commit to name as the source", where=str(project), remedy="git init, add and commit")
    return sha


def environment() -> str:
    """sha256 over the installed distributions and their versions."""
    found = {f"{item.name}=={item.version}".lower() for item in importlib.metadata.distributions()}
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()
