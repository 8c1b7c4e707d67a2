"""Files of polls and of reference values: read strictly, decided by the code that runs live."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coalmine.errors import BadInput
from coalmine.judge.backtest import backtest, check, to_json
from coalmine.judge.policy import load_policy

GOLDEN = Path(__file__).parent / "golden.json"


def polls(path: Path, e_c: int, *, count: int = 60) -> Path:
    rows = [{"t": 100.0 + i, "metric": "errors", "n_c": 20, "e_c": e_c, "n_b": 180, "e_b": 1} for i in range(count)]
    rows[0]["step"] = 10
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_healthy_stream_promotes_and_a_bad_one_is_rolled_back(tmp_path: Path) -> None:
    good = backtest(polls(tmp_path / "good", 0), load_policy(""))
    bad = backtest(polls(tmp_path / "bad", 2), load_policy(""))
    assert good.verdict.decision == "PROMOTE"
    assert good.first_promote == good.verdict.t < 160
    assert good.left_out == ("latency", "feedback")
    assert bad.verdict.decision == "ROLLBACK"
    assert bad.verdict.t < 120
    assert "canary errors 10.0 %" in bad.verdict.reason
    assert json.loads(json.dumps(to_json(bad)))["metrics"][0]["name"] == "errors"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", ":1: n_c is missing"),
        ('{"t": 1, "metric": "errors", "n_c": 1, "e_c": 2, "n_b": 0, "e_b": 0}', "more bad outcomes"),
        ('{"t": 1, "metric": "errors", "n_c": 1.5, "e_c": 0, "n_b": 0, "e_b": 0}', "n_c: 1.5 is no count"),
        ('{"t": 1, "metric": "typo", "n_c": 1, "e_c": 0, "n_b": 0, "e_b": 0}', "no metric 'typo'"),
        ("[1]", "no poll"),
        ("", "no poll in the file"),
    ],
)
def test_what_is_no_poll_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "polls").write_text(text)
    with pytest.raises(BadInput, match="polls") as caught:
        backtest(tmp_path / "polls", load_policy(""))
    assert says in str(caught.value)


def test_check_finds_a_changed_reference_value(tmp_path: Path) -> None:
    cases = json.loads(GOLDEN.read_text())
    cases[3]["expect"][0]["log_e_rollback"] += 0.5
    (tmp_path / "changed.json").write_text(json.dumps(cases))
    assert check(tmp_path / "changed.json") == pytest.approx(0.5, abs=1e-6)
    (tmp_path / "broken.json").write_text("[{}]")
    with pytest.raises(BadInput):
        check(tmp_path / "broken.json")
