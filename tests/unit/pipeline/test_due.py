"""When a run is due: the truth table, a row each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from coalmine.errors import BadInput
from coalmine.pipeline.due import Facts, Reason, due
from coalmine.pipeline.plan import choose
from coalmine.pipeline.policy import Retraining, When, read_policy

ROOT = Path(__file__).parents[3]

WHEN = When(every_hours=24, labels=100, drift=True, pause_minutes=60)
NOW = 1_000_000.0
QUIET = Facts(now=NOW, last_started=NOW - 7200, labels=0)
FULL = replace(QUIET, labels=100)
LATE = replace(QUIET, last_started=NOW - 24 * 3600)
DRIFTED = replace(QUIET, drifted="text drifted")
FRESH = NOW - 3599

ROWS: list[tuple[str, When, Facts, bool, Reason | None, str]] = [
    ("nothing happened", WHEN, QUIET, False, None, "0 of 100 labels"),
    ("one label is missing", WHEN, replace(QUIET, labels=99), False, None, "99 of 100 labels"),
    ("enough labels", WHEN, FULL, False, Reason.LABELS, "100 new labels"),
    ("labels that start nothing", WHEN.model_copy(update={"labels": None}), FULL, False, None, "labels start no run"),
    ("labels that cannot be counted", WHEN, replace(QUIET, labels=None), False, None, "cannot be counted"),
    ("a day has passed", WHEN, LATE, False, Reason.SCHEDULE, "24.0 hours ago"),
    ("the first run", WHEN, replace(QUIET, last_started=None), False, Reason.SCHEDULE, "no run yet"),
    ("no schedule", WHEN.model_copy(update={"every_hours": None}), LATE, False, None, "nothing is due"),
    ("drift", WHEN, DRIFTED, False, Reason.DRIFT, "text drifted"),
    ("drift before labels", WHEN, replace(FULL, drifted="text drifted"), False, Reason.DRIFT, "text drifted"),
    ("drift that starts nothing", WHEN.model_copy(update={"drift": False}), DRIFTED, False, None, "nothing is due"),
    ("labels within the pause", WHEN, replace(FULL, last_started=FRESH), False, None, "the pause is 60"),
    ("drift within the pause", WHEN, replace(DRIFTED, last_started=FRESH), False, None, "the pause is 60"),
    ("labels while a canary rolls", WHEN, replace(FULL, rolling=True), False, None, "a canary is on its way"),
    ("labels beside an open run", WHEN, replace(FULL, open_run="r1"), False, None, "run r1 goes on"),
    ("by hand", WHEN, QUIET, True, Reason.HAND, "by hand"),
    ("by hand within the pause", WHEN, replace(QUIET, last_started=FRESH), True, Reason.HAND, "by hand"),
    ("by hand while a canary rolls", WHEN, replace(QUIET, rolling=True), True, Reason.HAND, "by hand"),
    ("by hand beside an open run", WHEN, replace(QUIET, open_run="r1"), True, None, "run r1 goes on"),
]


@pytest.mark.parametrize(
    ("when", "facts", "by_hand", "reason", "why"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_a_run_is_due_as_the_table_says(
    when: When, facts: Facts, *, by_hand: bool, reason: Reason | None, why: str
) -> None:
    """With the numbers in the sentence, for either answer."""
    answer = due(when, facts, by_hand=by_hand)
    assert (answer.reason, bool(answer)) == (reason, reason is not None)
    assert why in answer.why


@pytest.mark.parametrize(
    ("mode", "number", "expected"),
    [("full", 2, "full"), ("incremental", 1, "full"), ("incremental", 2, "incremental"), ("incremental", 8, "full")],
)
def test_an_incremental_policy_trains_in_full_now_and_then(mode: str, number: int, expected: str) -> None:
    """At the first run and each seventh after it: what is learnt bit by bit drifts."""
    assert choose(mode, number, full_every=7) == expected


def test_each_field_of_the_policy_has_its_row_and_default() -> None:
    """On the page that its errors name."""
    page = (ROOT / "docs" / "reference" / "retraining.md").read_text(encoding="utf-8")
    rows = {"better_by": Retraining().better_by}
    for part in ("when", "how", "limits"):
        rows |= {f"{part}.{key}": value for key, value in getattr(Retraining(), part).model_dump().items()}
    for name, default in rows.items():
        shown = json.dumps(default).strip('"')
        assert f"| `{name}` | `{shown}` |" in page, (name, shown)


def test_a_policy_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    """With file and field."""
    (tmp_path / "retraining.yaml").write_text("schema: 1\nwhen: {lables: 3}\n")
    with pytest.raises(BadInput, match=r"when\.lables"):
        read_policy(tmp_path / "retraining.yaml")


def test_the_examples_policy_can_be_read() -> None:
    """And names the domain that the example starts from."""
    assert read_policy(ROOT / "bentos" / "sentiment" / "retraining.yaml").how.domains == ("tweets",)
