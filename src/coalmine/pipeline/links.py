"""Where a person looks at what a step has made: a scheduler shows these beside the step."""

from __future__ import annotations

from typing import Any

from coalmine.records import Candidate, Evaluation, ModelVersion, Release, Released
from coalmine.settings import Settings

MLFLOW = "MLflow"
REPORT = "Release report"


def find(settings: Settings, record: Any) -> dict[str, str]:
    """By title; none where the tracking server has no pages of its own."""
    if isinstance(record, Released):
        # The report is written when the canary has ended; until then the judge leads to how it goes.
        return {REPORT: f"{settings.judge_url}/releases/{record.release}"}
    base = settings.mlflow_url.rstrip("/")
    if not base.startswith(("http://", "https://")):
        return {}
    if isinstance(record, Evaluation):
        record = record.candidate
    if isinstance(record, Candidate):
        return {MLFLOW: f"{base}/#/runs/{record.run_id}"}
    if isinstance(record, ModelVersion):
        return {MLFLOW: f"{base}/#/models/{record.model}/versions/{record.version}"}
    if isinstance(record, Release):
        return {MLFLOW: f"{base}/#/models/{record.model}/versions/{record.id.version}"}
    return {}
