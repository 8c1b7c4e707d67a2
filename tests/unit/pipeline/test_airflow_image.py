"""Airflow's own image and the chart's values beside it: one Airflow in both runtimes, one user in both files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine.steps.image import OWN, containerfile

ROOT = Path(__file__).parents[3]
# PostgreSQL's, that of the statsd which the chart runs, and who may log in.
MORE = {"asyncpg", "psycopg", "psycopg-binary", "psycopg2-binary", "statsd", "apache-airflow-providers-fab"}
OLDER = {"python-dateutil"}  # FAB takes none from 3 on


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    told = yaml.safe_load((ROOT / "gitops" / "platform" / "airflow" / "airflow.yaml").read_text(encoding="utf-8"))
    found: dict[str, Any] = told["spec"]["source"]["helm"]["valuesObject"]
    return found


@pytest.fixture(scope="module")
def recipe() -> str:
    return containerfile("airflow").read_text(encoding="utf-8")


def pinned(lock: str) -> dict[str, frozenset[str]]:
    """Each package with its pins and hashes, wherever they hold; one that differs between Pythons has several."""
    found: dict[str, frozenset[str]] = {}
    for pin in re.split(r"\n(?=\w)", (ROOT / lock).read_text(encoding="utf-8")):
        told = "\n".join(re.sub(" ; [^\\\\]*", " ", line) for line in pin.splitlines() if "# " not in line)
        name = re.split("[=; ]", told, maxsplit=1)[0]
        found[name] = found.get(name, frozenset()) | {told}
    return found


def test_the_image_has_what_one_machine_runs_and_what_a_cluster_needs() -> None:
    """What `coalmine airflow` is tried with is what the image holds, version by version and hash by hash."""
    here, image = pinned("locks/airflow.txt"), pinned(OWN["airflow"])
    assert set(image) - set(here) >= MORE
    assert {name for name in here if image.get(name) != here[name]} == OLDER
    assert all("--hash=sha256:" in pin for pins in image.values() for pin in pins)


def test_the_values_name_the_images_that_are_built_here(values: dict[str, Any]) -> None:
    """By digest; `airflow` is the chart's own image and `steps` that of the DAG's pods."""
    named = values["images"]["airflow"]
    (steps,) = [one["value"] for one in values["env"] if one["name"] == "COALMINE_IMAGE"]
    assert named["digest"].startswith("sha256:")
    assert {named["repository"].rpartition("/")[2], steps.rpartition("@")[0].rpartition("/")[2]} == {"airflow", "steps"}
    assert {"airflow", "steps"} <= set(OWN)


def test_the_image_has_what_the_chart_calls_and_the_user_that_it_runs_as(values: dict[str, Any], recipe: str) -> None:
    """The chart's probes call /entrypoint and its log groomers /clean-logs; its home is /opt/airflow."""
    user = values["securityContexts"]["pod"]
    assert f"USER {user['runAsUser']}:{user['runAsGroup']}\n" in recipe
    assert user["fsGroup"] == user["runAsGroup"]
    assert "> /entrypoint" in recipe
    assert "> /clean-logs" in recipe
    assert "AIRFLOW_HOME=/opt/airflow" in recipe


def test_a_read_only_root_has_a_place_to_write(values: dict[str, Any]) -> None:
    """/tmp is a volume of each pod."""
    assert values["securityContexts"]["containers"]["readOnlyRootFilesystem"] is True
    mounted = {one["mountPath"]: one["name"] for one in values["volumeMounts"]}
    assert [one for one in values["volumes"] if one["name"] == mounted["/tmp"]] == [{"name": "tmp", "emptyDir": {}}]


def test_nobody_logs_in_with_the_charts_own_password(values: dict[str, Any]) -> None:
    """The chart's Job makes admin with the password admin; whoever runs the cluster makes users instead."""
    assert values["createUserJob"] == {"enabled": False}
    assert values["config"]["core"]["auth_manager"].endswith(".FabAuthManager")
