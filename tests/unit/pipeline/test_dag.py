"""The DAG as Airflow's own DagBag reads it, in processes and in pods."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from coalmine.local import airflow_install
from coalmine.pipeline.command import BEGIN, STEPS, command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # Airflow is installed once, and imported

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    line = [str(airflow_install.installed()), "-W", "ignore", str(HERE / "dagbag.py"), str(home)]
    env = {**os.environ, "PYTHONPATH": str(airflow_install.link(home))}
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index('{"processes"') :])
    return found


@pytest.mark.parametrize("way", ["processes", "pods"])
def test_the_dag_is_the_steps_in_their_order(parsed: dict[str, Any], way: str) -> None:
    """First whether a run is due; then one after the other, whatever runs them; nothing through XCom."""
    dag = parsed[way]
    assert dag["errors"] == {}
    tasks = dag["tasks"]
    assert list(tasks) == [BEGIN, *STEPS]
    assert [tasks[name]["after"] for name in tasks] == [[], *([name] for name in [BEGIN, *STEPS][:-1])]
    assert {task["operator"] for task in tasks.values()} == {"Step" if way == "processes" else "StepPod"}
    assert not any(task["xcom"] for task in tasks.values())
    assert {task["retries"] for task in tasks.values()} == {3}
    assert (dag["active"], dag["catchup"]) == (1, False)


def test_each_model_that_is_retrained_has_a_dag_and_a_machine_that_of_the_model_it_serves(
    parsed: dict[str, Any],
) -> None:
    """A model is a folder here too: nothing is copied for it."""
    models = {file.parent.name for file in (HERE.parents[2] / "bentos").glob("*/retraining.yaml")}
    assert len(models) > 1
    assert set(parsed["pods"]["dags"]) == {f"retrain_{model}" for model in models}
    assert parsed["processes"]["dags"] == ["retrain_sentiment"]
    for way in ("pods", "processes"):
        assert {task["model"] for task in parsed[way]["tasks"].values()} == {"sentiment"}


def test_it_wakes_by_the_asset_or_by_the_clock(parsed: dict[str, Any]) -> None:
    """On one machine the asset has a watcher; in a cluster the clock asks each quarter of an hour."""
    here, cluster = parsed["processes"], parsed["pods"]
    assert here["schedule"] == cluster["schedule"] == "AssetOrTimeSchedule"
    assert (here["cron"], cluster["cron"]) == ("7 3 * * *", "*/15 * * * *")
    assert here["assets"] == ["sentiment_due"]
    assert here["watchers"] == [["coalmine.pipeline.operators.Due", {"model": "sentiment", "seconds": 30.0}]]
    assert cluster["watchers"] == []


def test_its_page_says_and_asks_what_a_person_needs(parsed: dict[str, Any]) -> None:
    """The docs, the form's fields, and the links beside each task."""
    dag = parsed["processes"]
    assert "retraining.yaml" in dag["doc"]
    assert set(dag["params"]) == {"mode", "override", "release"}
    assert all(said for said in dag["params"].values())
    assert all(task["links"] == ["MLflow", "Release report"] for task in dag["tasks"].values())


def test_its_pods_have_least_rights_and_the_gpu_where_it_is_used(parsed: dict[str, Any]) -> None:
    """No root; the one GPU is the training's."""
    tasks = parsed["pods"]["tasks"]
    assert {task["user"] for task in tasks.values()} == {10001}
    assert [name for name, task in tasks.items() if "nvidia.com/gpu" in task["limits"]] == ["train"]
    assert tasks["train"]["arguments"] == command("train", "{{ run_id }}")
    assert tasks[BEGIN]["arguments"][:5] == command(BEGIN, "{{ run_id }}")
