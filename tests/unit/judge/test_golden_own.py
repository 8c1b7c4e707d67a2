"""Whole streams through the real fold and verdict give the numbers of a slow second implementation (slow_engine.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from coalmine.judge import decide
from coalmine.judge.decide import MetricEvidence, Verdict
from coalmine.judge.fold import State, fold_all
from coalmine.judge.policy import Policy, load_policy
from coalmine.records import Poll
from unit.judge import slow_engine, slow_streams

GOLDEN: list[dict[str, Any]] = json.loads(Path(__file__).with_name("golden_own.json").read_text())
NUMBERS = (
    "n_c", "e_c", "n_b", "e_b", "log_e_rollback", "share", "log_e_promote", "log_e_tolerated", "log_e_noninferior",
    "log_e_last_step", "odds_low", "odds_high", "log_e_bake",
)  # fmt: skip


def _close(expected: float | None) -> object:
    return None if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-9)


def _same_metric(found: MetricEvidence, expected: dict[str, Any], policy: Policy) -> None:
    for name in NUMBERS:
        if name == "log_e_tolerated" and expected[name] is None:
            assert found.log_e_tolerated is None
            continue
        assert getattr(found, name) == _close(expected[name]), f"{found.name}: {name}"
    assert found.changed is (expected["odds_low"] is None)
    assert policy.metrics[found.name].role == found.role


def _same(verdict: Verdict, expected: dict[str, Any], state: State, policy: Policy) -> None:
    assert (str(verdict.decision), verdict.t) == (expected["decision"], expected["t"])
    assert verdict.log_e_mean == _close(expected["log_e_mean"])
    assert decide.log_e_sample_ratio(state, policy) == _close(expected["log_e_sample_ratio"])
    assert [metric.name for metric in verdict.metrics] == list(expected["metrics"])
    for metric in verdict.metrics:
        _same_metric(metric, expected["metrics"][metric.name], policy)
    for name, state_of in state.metrics.items():
        assert state_of.log_boost == _close(expected["metrics"][name]["log_boost"])


@pytest.mark.parametrize("stream", GOLDEN, ids=lambda stream: stream["name"])
def test_the_judge_agrees_with_the_slow_engine_after_each_look(stream: dict[str, Any]) -> None:
    policy, state = load_policy(json.dumps(stream["policy"])), State()
    polls = [Poll(**poll) for poll in stream["polls"]]
    for expected in stream["looks"]:
        state = fold_all([poll for poll in polls if poll.t == expected["now"]], policy, state)
        _same(decide.judge(state, policy, expected["now"], opened=0.0), expected, state, policy)
    for expected in stream["later"]:
        _same(decide.judge(state, policy, expected["now"], opened=0.0), expected, state, policy)


def test_every_decision_is_among_the_reference_values() -> None:
    seen = {verdict["decision"] for stream in GOLDEN for verdict in (*stream["looks"], *stream["later"])}
    assert seen == {"ROLLBACK", "PROMOTE", "CONTINUE", "INCONCLUSIVE"}


def test_the_reference_values_are_those_of_the_slow_engine() -> None:
    """The file was not edited by hand: its inputs are the streams, and a few are computed anew."""
    made = list(slow_streams.streams())
    assert [stream["name"] for stream in made] == [stream["name"] for stream in GOLDEN]
    assert [stream["polls"] for stream in made] == [stream["polls"] for stream in GOLDEN]
    for stream, kept in list(zip(made, GOLDEN, strict=True))[4::8]:
        assert json.loads(json.dumps(slow_engine.run(stream))) == kept
