"""A record is checked once and written one way: what is logged, joined and learnt from is the same text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.errors import BadInput
from coalmine.release.fields import Fields, matrix, read

FIELDS = Fields.model_validate(
    {
        "schema": 1,
        "fields": {"age": {"low": 0, "high": 120}, "kind": {"values": ["a", "b"]}, "weight": {"optional": True}},
    }
)
RECORDS = st.fixed_dictionaries(
    {"age": st.floats(0, 120) | st.integers(0, 120), "kind": st.sampled_from("ab")},
    optional={"weight": st.none() | st.floats(allow_nan=False, allow_infinity=False)},
)


@given(RECORDS)
def test_an_item_read_back_is_the_same_item(record: dict[str, object]) -> None:
    """Whatever the order and the spelling of its numbers were."""
    item = FIELDS.item(record)
    assert FIELDS.item(json.loads(item)) == item == FIELDS.item(dict(reversed(record.items())))


@pytest.mark.parametrize(
    ("record", "where", "what"),
    [
        ({"age": 121, "kind": "a"}, "age", "between 0 and 120"),
        ({"age": "7", "kind": "a"}, "age", "not a number"),
        ({"age": True, "kind": "a"}, "age", "not a number"),
        ({"age": float("nan"), "kind": "a"}, "age", "not a number"),
        ({"kind": "a"}, "age", "missing"),
        ({"age": 7, "kind": "c"}, "kind", "one of a, b"),
        ({"age": 7, "kind": ["a"]}, "kind", "one of a, b"),
        ({"age": 7, "kind": "a", "size": 1}, "size", "unknown"),
        ([7], "records", "not an object"),
    ],
)
def test_a_wrong_field_is_named(record: object, where: str, what: str) -> None:
    with pytest.raises(BadInput, match=what) as refused:
        FIELDS.item(record)
    assert refused.value.where == where


def test_a_request_holds_one_record_or_several() -> None:
    one = {"age": 7, "kind": "b"}
    assert FIELDS.items(one) == ['{"age":7.0,"kind":"b","weight":null}']
    assert FIELDS.items({"records": [one, one]}) == FIELDS.items(one) * 2
    wrongs: list[dict[str, object]] = [{"records": []}, {"records": [one] * 65}, {"records": one}]
    for wrong in (*wrongs, {"records": [one], "age": 7}):
        with pytest.raises(BadInput, match="1 to 64 records"):
            FIELDS.items(wrong)
    with pytest.raises(BadInput) as refused:
        FIELDS.items({"records": [one, {"age": -1, "kind": "b"}]})
    assert refused.value.where == "records[1].age"


def test_a_matrix_has_a_row_for_each_item() -> None:
    """Words by their place, what is missing as NaN."""
    items = FIELDS.items({"records": [{"age": 7, "kind": "b"}, {"age": 8.5, "kind": "a", "weight": 2}]})
    np.testing.assert_array_equal(matrix(items, FIELDS.columns), [[7, 1, np.nan], [8.5, 0, 2]])


def test_the_example_passes() -> None:
    assert FIELDS.example() == '{"age":60.0,"kind":"a","weight":0.0}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema: 2\nfields: {a: {}}", "schema"),
        ("schema: 1\nfields: {}", "fields"),
        ("schema: 1\nfields: {a: {low: 2, high: 1}}", "wrong way round"),
        ("schema: 1\nfields: {a: {values: [x], low: 1}}", "either bounds or values"),
        ("schema: 1\nfields: {a: {lowest: 1}}", r"fields\.a\.lowest"),
        ("schema: 1\nfields: {records: {}}", "rename it"),
        ("[", "no YAML"),
    ],
)
def test_a_wrong_file_is_named_with_its_field(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "fields.yaml").write_text(text)
    with pytest.raises(BadInput, match=rf"fields\.yaml(?s:.*){said}"):
        read(tmp_path / "fields.yaml")
