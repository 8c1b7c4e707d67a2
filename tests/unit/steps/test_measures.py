"""What a gate can bound: shares of right labels, and errors of a number, each on a slice of its own."""

from __future__ import annotations

import math

import pytest

from coalmine.errors import BadInput
from coalmine.steps.gates import Gates, decide, explain
from coalmine.steps.measures import measures_of
from coalmine.steps.workload import Row

LABELS = ("no", "yes")
TRUTH = [10.0, 20.0, 30.0, 50.0]
ROWS = [Row("x", target, 1.0, domain, "e") for target, domain in zip(TRUTH, "aaab", strict=True)]


def gates(**given: object) -> Gates:
    usual = {"schema": 1, "floors": {"a": {"r2": 0.5}}, "champion": {"no_worse_by": 0.1, "slices": ["a"]}}
    against = {"no_worse_by": 0.1, "measures": ["r2"], "slices": ["a"]}
    return Gates.model_validate(usual | {"champion": against} | given)


@pytest.mark.parametrize(
    ("measure", "value"), [("mae", 4 / 3), ("rmse", math.sqrt(8 / 3)), ("r2", 1 - 8 / 200), ("within", 1 / 3)]
)
def test_errors_of_a_number_are_those_of_the_slice(measure: str, value: float) -> None:
    """By hand: off by 0, 2 and 2 in slice a; slice b, off by a hundred, changes nothing."""
    wanted = gates(tolerance=1.9, floors={"a": {"within": 0.5}})
    found = measures_of(wanted, ROWS, labels=(), where="gates.yaml")["a", measure]
    assert found([10.0, 22.0, 28.0, 150.0], TRUTH) == pytest.approx(value)


def test_every_slice_is_measured_for_the_record() -> None:
    found = measures_of(gates(), ROWS, labels=(), where="gates.yaml")
    assert set(found) == {(name, measure) for name in "ab" for measure in ("r2", "mae", "rmse")}


@pytest.mark.parametrize(
    ("given", "labels", "said"),
    [
        ({"floors": {"a": {"mae": 0.5}}}, (), "less is better"),
        ({"ceilings": {"a": {"r2": 0.5}}}, (), "more is better"),
        ({"floors": {"a": {"within": 0.5}}}, (), "needs a `tolerance`"),
        ({"floors": {"a": {"accuracy": 0.5}}}, (), "unknown measure 'accuracy'"),
        ({}, LABELS, "unknown measure 'r2'"),
        ({"floors": {"c": {"r2": 0.5}}}, (), "no held-out rows of slice 'c'"),
    ],
)
def test_a_bound_that_cannot_be_is_named(given: dict[str, object], labels: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        measures_of(gates(**given), ROWS, labels=labels, where="gates.yaml")


@pytest.mark.parametrize(("value", "passed"), [(39.9, True), (40.0, True), (40.1, False), (math.nan, False)])
def test_a_ceiling_holds_from_above(value: float, passed: bool) -> None:  # noqa: FBT001 (a row of the table)
    with_ceiling = gates(ceilings={"a": {"mae": 40}})
    checks = decide(with_ceiling, {("a", "r2"): 0.9, ("a", "mae"): value}, None)
    assert [check.passed for check in checks] == [True, passed]


def test_a_broken_ceiling_says_by_how_much() -> None:
    checks = decide(gates(ceilings={"a": {"mae": 40}}), {("a", "r2"): 0.9, ("a", "mae"): 42.5}, None)
    assert explain(checks) == "a mae is 42.500, 2.500 above 40.000"
    assert checks[1].margin == pytest.approx(-2.5)
