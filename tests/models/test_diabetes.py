"""What this model learns from, what it must reach, and what its service takes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import joblib
import pytest

from coalmine.errors import BadInput
from coalmine.pipeline.policy import read_policy
from coalmine.records import GateCheck
from coalmine.release import fields
from coalmine.steps.checks import load_checks
from coalmine.steps.collect import refuse_leaks
from coalmine.steps.gates import decide, load_gates
from coalmine.steps.measures import measures_of
from coalmine.steps.workload import Workload, load_workload, sibling

NAME = "diabetes"
PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "bentos" / NAME


@pytest.fixture(scope="module")
def workload() -> Workload:
    return load_workload(PROJECT, NAME)


@pytest.fixture(scope="module")
def fitted(workload: Workload) -> Any:
    return workload.fit(workload.rows(workload.domains, split="train"), seed=0, options={})


def gate(workload: Workload, pipeline: Any) -> tuple[GateCheck, ...]:
    """The floors and ceilings, as `coalmine evaluate` applies them to a first release."""
    rows, gates = workload.rows(workload.domains, split="evaluation"), load_gates(FOLDER / "gates.yaml")
    predicted, truth = pipeline.predict([row.text for row in rows]), [row.label for row in rows]
    measures = measures_of(gates, rows, labels=workload.labels, where="gates.yaml")
    return decide(gates, {key: measure(predicted, truth) for key, measure in measures.items()}, None)


def test_every_domain_and_split_has_rows_and_none_shares_an_entity(workload: Workload) -> None:
    """No release wins by memory, and no slice is judged on nothing."""
    splits = list(sibling(PROJECT, NAME, "data").Split)
    found = {split: workload.rows(workload.domains, split=split) for split in splits}
    assert all({row.domain for row in rows} == set(workload.domains) for rows in found.values())
    for split in splits[1:]:
        refuse_leaks(found["train"], found[split])


def test_retraining_and_checks_of_its_rows_can_be_read(workload: Workload) -> None:
    """A wrong field would stop the first run that nobody watches; base rows are of domains that there are."""
    assert set(read_policy(FOLDER / "retraining.yaml").how.domains) <= set(workload.domains)
    assert load_checks(FOLDER / "checks.yaml").votes > 0


def test_a_model_of_all_training_rows_passes_the_gate(workload: Workload, fitted: Any) -> None:
    """The bounds in gates.yaml can be reached."""
    assert [check for check in gate(workload, fitted) if not check.passed] == []


def test_a_model_of_damaged_rows_fails_the_gate(workload: Workload) -> None:
    """The bounds in gates.yaml can be missed."""
    rows = workload.rows(workload.domains, split="train")
    damaged = workload.fit(rows, seed=0, options={"shuffle_targets": 1.0})
    assert not all(check.passed for check in gate(workload, damaged))


def test_the_same_rows_and_seed_give_the_same_model(workload: Workload, fitted: Any) -> None:
    rows = workload.rows(workload.domains, split="train")
    again = workload.fit(rows, seed=0, options={})
    items = [row.text for row in rows]
    assert again.predict(items).tolist() == fitted.predict(items).tolist()


def test_the_pipeline_needs_nothing_of_this_folder(fitted: Any) -> None:
    """It is unpickled where only the installed package can be imported."""
    pickled = io.BytesIO()
    joblib.dump(fitted, pickled)
    assert b"_coalmine_model_" not in pickled.getvalue()


def test_what_people_ask_is_what_the_service_reads(workload: Workload) -> None:
    """The logged item of a request is the text of its row: so feedback on it becomes a row like the others."""
    taken, replay = fields.read(FOLDER / "fields.yaml"), sibling(PROJECT, NAME, "replay")
    domain = workload.domains[0]
    items = [item for one in replay.asked(domain, "evaluation") for item in taken.items(one.request)]
    assert items == [row.text for row in workload.rows([domain], split="evaluation")]


@pytest.mark.parametrize(("domain", "split"), [("nowhere", "train"), (None, "nowhen")])
def test_an_unknown_domain_or_split_is_named(workload: Workload, domain: str | None, split: str) -> None:
    with pytest.raises(BadInput, match=r"unknown domain 'nowhere'|unknown split 'nowhen'"):
        workload.rows([domain or workload.domains[0]], split=split)


def test_an_unknown_option_is_named(workload: Workload) -> None:
    with pytest.raises(BadInput, match="option no_such_option"):
        workload.fit([], seed=0, options={"no_such_option": 1})
