"""The offline gate says which check failed and by how much; a wrong gates.yaml is named with its field."""

from __future__ import annotations

from pathlib import Path

import pytest

from coalmine.errors import BadInput
from coalmine.steps.gates import Gates, decide, explain, load_gates

GATES = Gates.model_validate(
    {"schema": 1, "floors": {"a": {"accuracy": 0.8}}, "champion": {"no_worse_by": 0.02, "slices": ["a", "b"]}}
)
PROJECT = Path(__file__).resolve().parents[3]


def values(a: float, b: float) -> dict[tuple[str, str], float]:
    return {("a", "accuracy"): a, ("b", "accuracy"): b}


@pytest.mark.parametrize(
    ("candidate", "champion", "passed"),
    [
        (values(0.80, 0.1), None, [True]),
        (values(0.79, 0.9), None, [False]),
        (values(float("nan"), 0.9), None, [False]),
        (values(0.90, 0.50), values(0.90, 0.50), [True, True, True]),
        (values(0.881, 0.50), values(0.90, 0.50), [True, True, True]),
        (values(0.90, 0.47), values(0.90, 0.50), [True, True, False]),
        (values(0.70, 0.40), values(0.90, 0.50), [False, False, False]),
    ],
)
def test_truth_table(
    candidate: dict[tuple[str, str], float], champion: dict[tuple[str, str], float] | None, passed: list[bool]
) -> None:
    assert [check.passed for check in decide(GATES, candidate, champion)] == passed


def test_each_failed_check_says_by_how_much() -> None:
    checks = decide(GATES, values(0.75, 0.4), values(0.7, 0.5))
    assert explain(checks) == (
        "a accuracy is 0.750, 0.050 below 0.800; b accuracy against the champion is 0.400, 0.080 below 0.480"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema: 2\n", "schema"),
        ("schema: 1\nfloors: {a: {accuracy: 1.5}}\nchampion: {no_worse_by: 0, slices: [a]}", r"floors\.a\.accuracy"),
        ("schema: 1\nfloors: {a: {accuracy: .5}}\nchampion: {no_worse_than: 0, slices: [a]}", r"champion\.no_worse"),
        ("schema: 1\nfloors: {}\nchampion: {no_worse_by: 0, slices: [a]}", "floors"),
        ("[", "no YAML"),
        ("3", "the file"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "gates.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=rf"(?s)gates\.yaml: .*{said}"):
        load_gates(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gates\.yaml: it cannot be read"):
        load_gates(tmp_path / "gates.yaml")


def test_the_examples_own_gates_are_valid() -> None:
    assert load_gates(PROJECT / "bentos" / "sentiment" / "gates.yaml").floors["tweets"]["accuracy"] > 0.7
