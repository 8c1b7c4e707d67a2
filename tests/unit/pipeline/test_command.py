"""What every scheduler calls, and the DAG's file as a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from coalmine.pipeline.command import STEPS, Meaning, meaning
from coalmine.pipeline.steps import STEPS as DONE_BY

ROOT = Path(__file__).parents[3]
DAG = ROOT / "pipelines" / "dags" / "retrain.py"


def test_the_dag_fits_on_a_page() -> None:
    """What scrolls hides something."""
    assert len(DAG.read_text(encoding="utf-8").splitlines()) <= 80


def test_the_cluster_has_the_airflow_that_one_machine_runs() -> None:
    """What is tried here is what the chart is told to take."""
    (locked,) = re.findall(r"^apache-airflow==(\S+)", (ROOT / "locks" / "airflow.txt").read_text(), flags=re.MULTILINE)
    told = yaml.safe_load((ROOT / "gitops" / "platform" / "airflow" / "airflow.yaml").read_text())
    values = told["spec"]["source"]["helm"]["valuesObject"]
    assert values["airflowVersion"] == locked


def test_schedulers_call_the_steps_that_there_are() -> None:
    """The list that needs no import of ours, and the table that does the work."""
    assert tuple(DONE_BY) == STEPS


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, Meaning.DONE),
        (99, Meaning.SKIP),
        (75, Meaning.RETRY),
        (-9, Meaning.RETRY),
        (137, Meaning.RETRY),
        (1, Meaning.FAIL),
        (2, Meaning.FAIL),
        (3, Meaning.FAIL),
        (4, Meaning.FAIL),
        (70, Meaning.FAIL),
    ],
)
def test_an_exit_code_says_what_comes_next(code: int, expected: Meaning) -> None:
    """Tried again only where that may help: a gate's no stays a no."""
    assert meaning(code) is expected
