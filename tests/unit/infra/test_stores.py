"""What infra/ hands to MLflow is an address that MLflow's own image can open."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from unit.judge.postgres import server

LOCK = Path(__file__).parents[3] / "locks" / "tracking.txt"
DRIVERS = {"gs": "google-cloud-storage", "s3": "boto3", "postgresql": "psycopg"}  # by the scheme of the address
# In a process of its own: MLflow warns of itself as it is imported.
OPENS = """
import sys
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

store = SqlAlchemyStore(sys.argv[1], sys.argv[2])
print(store.get_experiment(store.create_experiment("tried")).name, store.engine.dialect.driver)
print(*(type(get_artifact_repository(f"{scheme}://bucket/mlflow")).__name__ for scheme in ("gs", "s3")))
"""


@pytest.mark.parametrize("scheme", DRIVERS)
def test_the_image_has_a_driver_for_each_store(scheme: str) -> None:
    """Its lock is all that is installed in it: MLflow itself brings none of them."""
    locked = re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    assert DRIVERS[scheme] in locked


@pytest.mark.slow
@pytest.mark.timeout(900)  # imports all of MLflow, and the machine may be busy
def test_mlflow_opens_each_address_by_its_scheme_alone(tmp_path: Path) -> None:
    """A real PostgreSQL, without a driver's name in the address; both clouds' buckets, as far as without a cloud."""
    with server() as postgres:
        line = [sys.executable, "-c", OPENS, postgres.url("mlflow"), str(tmp_path)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said == ["tried psycopg", "GCSArtifactRepository S3ArtifactRepository"]
