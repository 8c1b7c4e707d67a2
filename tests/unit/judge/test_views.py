"""The JSON of an analysis says what the page and the reports need, in numbers and in one sentence."""

from __future__ import annotations

import json

import pytest

from coalmine.judge import views
from coalmine.judge.decide import Override
from coalmine.judge.report import words
from coalmine.records import Poll
from unit.judge.made import EVERY_KIND, OPENED, errors, every_kind, live

ERRORS_ONLY = "metrics: {latency: null, feedback: null}"


def test_the_sentence_holds_the_rates_the_odds_the_cost_and_what_is_needed() -> None:
    found = views.analysis(live(errors(10), policy=ERRORS_ONLY), OPENED + 11)
    metric, promotion = found["metrics"]["errors"], found["promotion"]
    assert (metric["needs"], metric["arrival"]) == (promotion["outcomes"], pytest.approx(200 / 11))
    assert promotion["seconds"] == pytest.approx(promotion["outcomes"] * 11 / 200)
    low, high = 100 * metric["rate_c_low"], 100 * metric["rate_c_high"]
    assert found["sentence"] == (
        f"canary errors 0.0 % ({low:.1f}-{high:.1f}), primary 0.6 %: no worse with odds {metric['odds_noninferior']}; "
        f"200 requests exposed, 0 failed; at this traffic promotion needs about {promotion['outcomes']} more, "
        f"{promotion['seconds']:.0f} s"
    )


def test_a_bad_canary_is_said_to_be_worse_and_nothing_is_promised() -> None:
    found = views.analysis(live(errors(12, e_c=1), policy=ERRORS_ONLY), OPENED + 13)
    assert ": worse with odds " in found["sentence"]
    assert found["promotion"] is None
    assert found["metrics"]["errors"]["needs"] is None


def test_a_rollback_waits_for_nothing() -> None:
    found = views.analysis(live(errors(20, e_c=4), policy=ERRORS_ONLY), OPENED + 21)
    assert found["decision"] == "ROLLBACK"
    assert "promotion" not in found["sentence"]
    assert found["sentence"].endswith(f"{found['canary_requests']} requests exposed, {found['failed']} failed")


def test_the_arrival_is_that_of_the_last_minute() -> None:
    """A hundred slow seconds before it do not count: the ramp has moved since."""
    slow = [Poll(OPENED + 1 + i, "errors", 1, 0, 9, 0, 5) for i in range(100)]
    fast = [Poll(OPENED + 101 + i, "errors", 50, 0, 50, 0, 50) for i in range(60)]
    found = views.analysis(live(slow + fast, policy=ERRORS_ONLY), OPENED + 160)
    assert found["metrics"]["errors"]["arrival"] == pytest.approx(50.0)


def test_before_the_minimum_duration_the_time_is_what_is_left_of_it() -> None:
    found = views.analysis(live(errors(12, n_c=200, e_b=9), policy=ERRORS_ONLY), OPENED + 12)
    assert found["promotion"] == {"metric": "errors", "outcomes": 0, "seconds": 20.0 - 11.0}
    assert "waiting for the minimum duration" in found["sentence"]


def test_without_data_the_view_waits_for_the_first_outcomes() -> None:
    found = views.analysis(live([]), OPENED + 5)
    assert found["sentence"] == "waiting for the first outcomes of the canary"
    assert words.rate(found["metrics"]["errors"], "c") == "no data"


def test_what_a_person_said_is_in_the_view_and_over_it() -> None:
    made = live(errors(5))
    made.override = Override("hold", "ada", "the sale begins", OPENED + 3)
    found = views.analysis(made, OPENED + 6)
    assert found["override"] == {"action": "hold", "who": "ada", "why": "the sale begins", "t": OPENED + 3}
    assert words.headline(found) == "Held"


def test_margins_and_parts_stand_beside_the_evidence() -> None:
    found = views.analysis(live(every_kind(), policy=EVERY_KIND), OPENED + 31)
    latency = found["metrics"]["latency"]
    assert (latency["odds_ratio_rollback"], latency["odds_ratio_promote"], latency["against"]) == (1.25, 2.0, "both")
    assert [part["part"] for part in latency["parts"]] == ["", "0.05", "0.2"]
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(json.dumps(found))


@pytest.mark.parametrize("limit", [0, 1, 7, 30, 31, 100])
def test_a_thinned_trace_ends_where_the_whole_one_does(limit: int) -> None:
    made = live(errors(31))
    thin, whole = views.trace(made, limit=limit), views.trace(made)
    assert thin[-1] == whole[-1]
    assert thin[0] == whole[0]
    assert len(thin) <= (limit or 31) + 1
    assert {point["t"] for point in thin} <= {point["t"] for point in whole}
