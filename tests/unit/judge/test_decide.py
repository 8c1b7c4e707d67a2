"""The truth table of the verdict, one test a row, and what the state promises."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.judge import decide
from coalmine.judge.fold import BAKED, State, fold_all, log_e_mean
from coalmine.judge.policy import Policy, load_policy
from coalmine.records import Decision, Poll

ERRORS = load_policy("metrics: {latency: {role: observe}, feedback: {role: observe}}")


def polls(
    count: int, n_c: int = 20, e_c: int = 0, *, e_b: int = 0, start: float = 1000.0, step: int = 50
) -> list[Poll]:
    return [Poll(start + i, "errors", n_c, e_c, 20, e_b, step) for i in range(count)]


def verdict(found: list[Poll], policy: Policy = ERRORS, *, later: float = 0.0) -> decide.Verdict:
    state = fold_all(found, policy)
    return decide.judge(state, policy, state.t + later, opened=990.0)


def test_no_data_is_continue_and_never_health() -> None:
    found = decide.judge(State(), ERRORS, 1000.0, opened=999.0)
    assert (found.decision, found.reason) == (Decision.CONTINUE, "waiting for the first outcomes of the canary")


def test_no_data_for_ever_is_inconclusive_and_holds() -> None:
    assert decide.judge(State(), ERRORS, 5000.0, opened=999.0).decision is Decision.INCONCLUSIVE


def test_evidence_of_harm_rolls_back_and_stays_latched() -> None:
    bad = polls(5, e_c=8)
    found = verdict(bad)
    assert found.decision is Decision.ROLLBACK
    assert found.reason.startswith("canary errors 40.0 % (")
    assert found.log_e_mean >= math.log(100)
    after = verdict(bad + polls(5000, start=1005.0))
    assert replace(after, t=0.0) == replace(found, t=0.0)


def test_every_guardrail_passed_is_a_promotion() -> None:
    found = verdict(polls(40))
    assert found.decision is Decision.PROMOTE
    assert "canary errors 0.0 % (0 of 800), primary 0.0 % (0 of 800): no worse with odds" in found.reason


def test_440_clean_requests_are_not_enough_and_441_are() -> None:
    policy = ERRORS.model_copy(update={"minimum_seconds": 0.0})
    clean = [Poll(1000.0, "errors", 440, 0, 440, 0, 50)]
    assert verdict(clean, policy).decision is Decision.CONTINUE
    assert verdict([*clean, Poll(1001.0, "errors", 1, 0, 0, 0, 50)], policy).decision is Decision.PROMOTE


def test_the_minimum_duration_is_waited_for() -> None:
    found = verdict(polls(10, n_c=200))
    assert found.decision is Decision.CONTINUE
    assert "the minimum duration (9 of 20 s)" in found.reason


def test_the_last_step_must_point_the_same_way() -> None:
    found = verdict([*polls(100), *polls(2, e_c=1, e_b=0, start=1100.0, step=60)])
    assert found.decision is Decision.CONTINUE
    assert "the last step (60 %)" in found.reason


def test_stale_data_do_not_promote() -> None:
    found = verdict(polls(40), later=60.0)
    assert found.decision is Decision.CONTINUE
    assert "fresh data on errors" in found.reason


def test_every_guardrail_must_have_data() -> None:
    found = verdict(polls(40), load_policy(""))
    assert found.decision is Decision.CONTINUE
    assert found.reason == "waiting for data on latency"


@pytest.mark.parametrize(("then", "decision"), [("hold", Decision.INCONCLUSIVE), ("rollback", Decision.ROLLBACK)])
def test_past_the_maximum_the_policy_says_what_then(then: str, decision: Decision) -> None:
    policy = ERRORS.model_copy(update={"on_inconclusive": then})
    assert verdict(polls(10), policy, later=4000.0).decision is decision


def test_a_fault_that_both_arms_share_rolls_nothing_back() -> None:
    assert verdict(polls(300, e_c=10, e_b=10)).decision is not Decision.ROLLBACK


def test_the_mean_fires_with_named_shares_where_no_metric_would_alone() -> None:
    policy = load_policy("metrics: {errors: {weight: 1}}")
    both = [Poll(1000.0, name, 20, 7, 20, 0, 50) for name in ("errors", "feedback")]
    state = fold_all(both, policy)
    logs = [metric.log_e for metric in state.metrics.values()]
    total = log_e_mean(state, policy, baked=False)
    assert total == pytest.approx(math.log((math.exp(logs[0]) + math.exp(logs[1]) + 1) / 3))
    shares = {m.name: m.share for m in verdict(both, policy).metrics}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["errors"] > 0.4 < shares["feedback"]


def test_a_late_fault_is_found_by_the_restart_at_its_step() -> None:
    """1,500 clean polls would drown a fault that starts with the last step, were there no restart."""
    quiet = [p for step in (10, 30) for p in polls(300, e_b=1, e_c=1, start=1000.0 + 10 * step, step=step)]
    late = polls(30, e_c=4, e_b=1, start=2000.0)
    found = verdict(quiet + late)
    assert found.decision is Decision.ROLLBACK
    assert found.t < 2012


def test_an_odds_ratio_that_changed_empties_the_band_and_is_said() -> None:
    found = verdict([*polls(100, e_c=1, e_b=9), *polls(300, e_c=9, e_b=9, start=1100.0)])
    assert found.decision is not Decision.ROLLBACK
    assert found.metrics[0].changed
    assert found.metrics[0].odds_low is None


def test_after_the_promotion_the_tolerated_rate_alone_speaks() -> None:
    good = polls(40)
    bad = [Poll(1050.0 + i, "errors", 20, 2, 0, 0, BAKED) for i in range(20)]
    found = verdict(good + bad)
    assert found.decision is Decision.ROLLBACK
    assert found.reason.startswith("after the promotion: errors 10.0 % (")
    calm = [Poll(1050.0 + i, "errors", 100, 1, 0, 0, BAKED) for i in range(60)]
    assert verdict(good + calm).decision is not Decision.ROLLBACK


def test_expected_extra_failures_of_the_next_step() -> None:
    state = fold_all(polls(1, e_c=4, e_b=2), ERRORS)
    assert decide.extra_failures(state, ERRORS) == pytest.approx((4 / 20 - 2 / 20) * ERRORS.step_outcomes)
    assert decide.extra_failures(State(), ERRORS) == 0.0


ROWS = st.tuples(*[st.integers(0, 30)] * 4, st.sampled_from([10, 30, 50, BAKED]))


@given(st.lists(ROWS, max_size=12))
def test_any_polls_give_a_verdict_that_is_json_and_a_replay_gives_the_same(rows: list[tuple[int, ...]]) -> None:
    found = [
        Poll(1000.0 + i, "errors", max(a, b), min(a, b), max(c, d), min(c, d), step)
        for i, (a, b, c, d, step) in enumerate(rows)
    ]
    one, other = verdict(found), verdict(found)
    assert one == other
    assert math.isfinite(one.log_e_mean)
    assert json.loads(json.dumps(one.reason))
