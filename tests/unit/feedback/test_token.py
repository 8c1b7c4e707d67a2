from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.errors import BadInput, CoalmineError, Refused
from coalmine.feedback import token
from coalmine.records import ReleaseId

KEY = bytes(range(32))


def test_ids_carry_their_time_and_sort_by_it() -> None:
    before = time.time()
    ids = [token.mint() for _ in range(5000)]
    after = time.time()
    assert ids == sorted(set(ids))
    assert before - 0.001 <= token.predicted_at(ids[0]) <= token.predicted_at(ids[-1]) <= after + 0.01


def test_what_was_signed_is_verified_as_it_was() -> None:
    prediction = token.mint()
    signed = token.verify(token.sign(prediction, "m3-1a2b3c4", key=KEY), key=KEY)
    assert (signed.prediction, signed.release) == (prediction, ReleaseId(3, "1a2b3c4"))
    assert signed.predicted_at == token.predicted_at(prediction)


SIGNED = token.sign("01890a5d-ac96-774b-bcce-b302099a8057", "m3-1a2b3c4", key=KEY)


@given(at=st.integers(0, len(SIGNED) - 1), character=st.characters())
def test_no_changed_character_is_accepted(at: int, character: str) -> None:
    """Not even one that base64 would decode to the same bytes."""
    changed = SIGNED[:at] + character + SIGNED[at + 1 :]
    if changed == SIGNED:
        return
    with pytest.raises(BadInput):
        token.verify(changed, key=KEY)


@given(text=st.text() | st.text(alphabet="0123456789abcdef-.m", max_size=90))
def test_no_text_made_up_is_accepted_or_crashes(text: str) -> None:
    with pytest.raises(CoalmineError):
        token.verify(text, key=KEY)


@given(cut=st.integers(0, len(SIGNED) - 1), more=st.text(min_size=1))
def test_no_shorter_and_no_longer_token_is_accepted(cut: int, more: str) -> None:
    for changed in (SIGNED[:cut], SIGNED + more):
        with pytest.raises(BadInput):
            token.verify(changed, key=KEY)


def test_a_token_of_another_key_is_forged_not_malformed() -> None:
    with pytest.raises(Refused, match="not ours"):
        token.verify(SIGNED, key=bytes(32))


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "feedback.key"
    key = token.make_key(path)
    assert len(key) == 32
    assert token.make_key(path) == key == token.read_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["feedback.key"]


def test_a_missing_or_short_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "feedback.key"
    with pytest.raises(BadInput, match=r"feedback\.key"):
        token.read_key(path)
    path.write_bytes(b"short")
    with pytest.raises(BadInput, match="5 bytes"):
        token.read_key(path)
