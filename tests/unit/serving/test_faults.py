from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.errors import BadInput
from coalmine.release import faults
from coalmine.release.drill import Drill, Output
from coalmine.release.faults import Faults

RATES = st.floats(0, 1)
AMOUNTS = st.floats(0, 1e9)


@given(
    st.builds(
        Faults,
        error_rate=RATES,
        delay_ms=AMOUNTS,
        wrong_rate=RATES,
        slow_start_s=AMOUNTS,
        crash_at_start=st.booleans(),
        crash_under_load=st.integers(0, 10**6),
        leak_mb=AMOUNTS,
    )
)
def test_what_is_rendered_is_read_back(given_faults: Faults) -> None:
    assert faults.parse(faults.render(given_faults)) == given_faults


def test_nothing_is_no_fault_and_has_one_spelling() -> None:
    assert faults.parse("") == Faults()
    assert not faults.parse(" , ").any
    assert faults.render(Faults()) == ""
    assert faults.render(faults.parse(" delay_ms = 200.0 , error_rate=0.05 ")) == "error_rate=0.05,delay_ms=200"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("explode=1", "'explode' is no fault"),
        ("error_rate", "error_rate has no value"),
        ("error_rate=0.1,error_rate=0.2", "given twice"),
        ("error_rate=1.5", "no share"),
        ("delay_ms=-1", "from 0 on"),
        ("delay_ms=nan", "from 0 on"),
        ("delay_ms=soon", "no number"),
        ("crash_at_start=2", "neither 0 nor 1"),
        ("crash_under_load=1.5", "no whole number"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_known(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as refused:
        faults.parse(text)
    assert all(name in refused.value.remedy for name in faults.KNOWN)


def test_shares_are_drawn_per_request_and_leave_the_rest_alone() -> None:
    draws = iter([0.04, 0.06, 0.29, 0.31])
    drill = Drill(Faults(error_rate=0.05, wrong_rate=0.3), wrong=_opposite, chance=lambda: next(draws))
    assert [drill.fails(), drill.fails()] == [True, False]
    right = {"label": "positive"}
    assert [drill.spoil(right), drill.spoil(right)] == [{"label": "wrong"}, right]


def _opposite(_output: Output) -> Output:
    return {"label": "wrong"}
