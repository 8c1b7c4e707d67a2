"""Runs: one at a time, whoever asks, whoever died."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from coalmine.errors import BadInput, NothingToDo
from coalmine.pipeline.due import Facts
from coalmine.pipeline.policy import Limits, Retraining, When
from coalmine.pipeline.runs import FAILED, NO_BETTER, RELEASED, SLACK, Run, Runs, check_id

POLICY = Retraining(when=When(labels=10, every_hours=None, pause_minutes=0))


def facts(labels: int = 10) -> Facts:
    return Facts(now=time.time(), labels=labels)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs.db")


def test_the_same_id_is_the_same_run(runs: Runs) -> None:
    """A scheduler that asks twice begins one."""
    first = runs.claim("a", POLICY, facts())
    assert runs.claim("a", POLICY, facts(labels=0)).started == first.started
    assert runs.count() == 1


def test_of_many_that_ask_at_once_one_begins(tmp_path: Path) -> None:
    """The decision and the claim are one transaction."""

    def ask(number: int) -> Run | None:
        try:
            return Runs(tmp_path / "runs.db").claim(f"run-{number}", POLICY, facts())
        except NothingToDo:
            return None

    Runs(tmp_path / "runs.db")
    with ThreadPoolExecutor(8) as pool:
        began = [run for run in pool.map(ask, range(8)) if run]
    assert len(began) == 1


def test_the_next_begins_when_the_last_has_ended(runs: Runs) -> None:
    """Whatever came of it."""
    runs.claim("a", POLICY, facts())
    with pytest.raises(NothingToDo, match="run a goes on"):
        runs.claim("b", POLICY, facts(), by_hand=True)
    runs.end("a", RELEASED, "m2-1234567")
    assert runs.claim("b", POLICY, facts()).id == "b"


def test_a_dead_run_gives_way_after_the_longest_that_a_step_may_take(runs: Runs) -> None:
    """And is remembered as abandoned."""
    policy = POLICY.model_copy(update={"limits": Limits(seconds=100)})
    runs.claim("a", policy, facts())
    later = replace(facts(), now=time.time() + 100 + SLACK - 5)
    with pytest.raises(NothingToDo, match="goes on"):
        runs.claim("b", policy, later)
    runs.claim("b", policy, replace(later, now=later.now + 10))
    assert [(run.id, run.outcome) for run in runs.latest() if run.outcome] == [("a", "abandoned")]


def test_what_ended_well_stays_ended(runs: Runs) -> None:
    """The scheduler that calls its steps again hears so."""
    runs.claim("a", POLICY, facts())
    runs.end("a", NO_BETTER, "by -0.01")
    runs.end("a", RELEASED, "nothing")
    with pytest.raises(NothingToDo, match=r"no better: by -0\.01"):
        runs.go_on("a")


def test_a_failed_run_may_be_gone_on_with_and_its_labels_still_count(runs: Runs) -> None:
    """What it was to learn is still new for the next."""
    runs.claim("a", POLICY, facts())
    runs.end("a", FAILED, "evaluate: below a floor")
    assert (runs.last_learnt(), runs.last_started() is None) == (None, False)
    assert runs.go_on("a").outcome == ""
    assert runs.last_learnt() is not None


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 201, "a b"])
def test_an_id_that_is_no_folders_name_is_refused(name: str) -> None:
    """It comes from outside."""
    with pytest.raises(BadInput):
        check_id(name)


@pytest.mark.parametrize(
    "name", ["scheduled__2026-11-26T03:07:00+00:00", "asset_triggered__2026-11-26T03:07:00.1+00:00_aB3"]
)
def test_the_ids_of_airflow_are_ids(name: str) -> None:
    """As its runs are called."""
    assert check_id(name) == name
