"""Files of polls and of reference values: read strictly, decided by the code that runs live."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from coalmine.cli import app
from coalmine.errors import BadInput
from coalmine.judge import decide
from coalmine.judge.backtest import Recording, backtest, check, compare, from_database, from_files, replay, to_json
from coalmine.judge.fold import State, fold_all
from coalmine.judge.policy import load_policy
from coalmine.judge.store import Counted, Store
from coalmine.records import Poll
from unit.judge.recordings import CANARY, OPENED, rollout, thresholds, written

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


# ---- what it cost, and beside what -------------------------------------------------------------------------------


def test_the_verdict_is_that_of_the_live_fold() -> None:
    """On a release that is rolled back the numbers are those of the moment, field by field."""
    recording, policy = rollout(0.05), load_policy("metrics: {latency: {role: observe}, feedback: {role: observe}}")
    live = decide.judge(fold_all(recording.polls, policy), policy, recording.polls[-1].t, opened=OPENED)
    assert replay(recording, policy).verdict == live


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40), st.booleans())
def test_what_it_does_not_look_at_could_not_have_differed(bad: list[tuple[int, int]], hurried: bool) -> None:  # noqa: FBT001
    """Against a full verdict at every look: since when it is what it is, and when it first promoted."""
    fields = "maximum_seconds: 200" if hurried else "minimum_seconds: 100, beta: 0.2"
    policy = load_policy(f"{{{fields}, metrics: {{latency: null, feedback: null}}}}")
    polls = tuple(
        Poll(OPENED + 10.0 * look, "errors", 300, e_c // 3, 700, e_b, 30) for look, (e_c, e_b) in enumerate(bad)
    )
    state = State()
    verdicts = [decide.judge(state, policy, OPENED, opened=OPENED)]
    for poll in polls:
        state = fold_all([poll], policy, state)
        verdicts.append(decide.judge(state, policy, poll.t, opened=OPENED))
    found = replay(Recording("any", polls, OPENED), policy)
    assert found.verdict.decision == verdicts[-1].decision
    assert found.verdict.reason == verdicts[-1].reason
    assert found.first_promote == next((one.t for one in verdicts if one.decision == "PROMOTE"), None)
    changed = [now.t for was, now in pairwise(verdicts) if was.decision != now.decision]
    assert found.verdict.t == (state.latched or (changed or [OPENED])[-1])


def test_a_slow_edge_beside_the_objectives_keeps_no_promotion_back() -> None:
    """A latency is promoted by its objective's edge alone, in a back-test as live; its other edges only roll back."""
    policy = load_policy(
        "metrics: {errors: null, feedback: null, latency: {edge_seconds: 0.2, more_edges: [1.0], against: baseline, "
        "tolerated_rate: null}}\nminimum_seconds: 0"
    )
    polls = [
        Poll(OPENED + 10.0 * look, "latency", 30, 9, 30, 9, 30, part=part) for look in range(40) for part in ("", "1")
    ]
    # Much fewer on the second edge: not enough to tell that the canary is no worse there.
    polls = [poll if poll.part == "" else replace(poll, n_c=1, e_c=0, n_b=1, e_b=0) for poll in polls]
    state, at = State(), None
    for t, look in groupby(polls, key=lambda poll: poll.t):
        state = fold_all(list(look), policy, state)
        if at is None and decide.judge(state, policy, t, opened=OPENED).decision == "PROMOTE":
            at = t
    assert at is not None
    assert replay(Recording("edges", tuple(polls), OPENED), policy).first_promote == at


def test_the_cost_is_counted_until_the_decision_step_by_step() -> None:
    """A primary whose rate rises with the weight: what it shares with the canary is no extra failure."""
    early = tuple(Poll(OPENED + look, "errors", 100, 1, 900, 9, 10) for look in range(10))
    late = tuple(Poll(OPENED + 10 + look, "errors", 500, 50, 500, 50, 50) for look in range(10))
    found = replay(Recording("drift", early + late, OPENED), load_policy(""))
    assert found.verdict.decision != "ROLLBACK"
    assert found.cost.extra_failures == pytest.approx(0.0)
    bad = replay(rollout(0.2), load_policy(""))
    seen = [poll for poll in rollout(0.2).polls if poll.t <= bad.verdict.t]
    assert bad.cost.canary_requests == 20 * len(seen) < 20 * 60
    assert bad.cost.canary_failures == sum(poll.e_c for poll in seen)


def test_policies_and_baselines_stand_side_by_side() -> None:
    """In the order of recordings, then as they were asked for; what judges later costs more."""
    given = [rollout(0.2), rollout(0.005)]
    policies = [("default", load_policy("")), ("slow", load_policy("alpha: 0.0000001"))]
    found = compare(lambda _: given, policies, flagger=[thresholds()], z_test=True)
    rows = [(one.recording, one.by, str(one.decision)) for one in found.results]
    assert [row[:2] for row in rows] == [
        (name, by)
        for name in ("rate 0.2", "rate 0.005")
        for by in ("default", "slow", "Flagger: shop", "z-test at every look")
    ]
    assert {row[2] for row in rows[:4]} == {"ROLLBACK"}
    costs = [one.cost.canary_failures for one in found.results[:3]]
    assert costs == sorted(costs)
    assert costs[0] < costs[2]
    assert all(one.after is None for one in found.results if one.decision == "CONTINUE")


def test_polls_with_parts_squares_and_the_bake_are_read_as_the_judge_wrote_them(tmp_path: Path) -> None:
    """Each field comes back; an e above n is right for scores and wrong for errors."""
    policy = load_policy("metrics: {stars: {kind: score}, errors: {}}")
    polls = (
        Poll(OPENED, "errors", 10, 0, 90, 1, 10),
        Poll(OPENED, "stars", 10, 2_500_000, 90, 9_000_000, 10, q_c=900_000, q_b=1_000_000),
        Poll(OPENED, "latency", 5, 0, 5, 1, 10, part="0.25"),
        Poll(OPENED + 60, "errors", 10, 0, 0, 0, -1),
    )
    path = written(Recording("all", polls, OPENED), tmp_path / "polls.jsonl")
    (found,) = from_files([path], policy)
    assert found.polls == polls
    with pytest.raises(BadInput, match="more bad outcomes"):
        from_files([path], load_policy("metrics: {stars: {kind: errors}}"))


def stored(folder: Path, recording: Recording) -> Path:
    store = Store(f"sqlite:///{folder / 'judge.db'}")
    row = store.open("shop", "shop", "c1", opened=OPENED, policy="alpha: 0.02", counting="{}")
    store.commit({}, [Counted(row.id, "{}", recording.polls)])
    store.close()
    return folder / "judge.db"


def test_a_judges_database_gives_the_polls_it_was_judged_by(tmp_path: Path) -> None:
    """With the policy's text; a file that is no judge's is left as it is."""
    recording = rollout(0.05)
    found, text = from_database(str(stored(tmp_path, recording)), 1)
    assert (found.polls, found.opened, text) == (recording.polls, OPENED, "alpha: 0.02")
    with pytest.raises(BadInput, match="no such analysis"):
        from_database(str(tmp_path / "judge.db"), 2)
    (tmp_path / "other.db").write_bytes(b"")
    for path, says in (("other.db", "no judge's database"), ("none.db", "unable to open")):
        with pytest.raises(BadInput, match=says):
            from_database(str(tmp_path / path), 1)
    assert (tmp_path / "other.db").read_bytes() == b""


def test_after_the_promotion_only_a_rollback_changes_what_was_decided() -> None:
    """Late in the bake a canary's data are stale, which is no reason to take the promotion back; failures are."""
    policy = load_policy("metrics: {latency: null, feedback: {role: guardrail}}")
    votes = tuple(Poll(poll.t, "feedback", 50, 5, 50, 10, 10) for poll in rollout(0.0).polls)
    before = tuple(sorted(rollout(0.0).polls + votes, key=lambda poll: poll.t))
    for bad, decision in ((0, "PROMOTE"), (50, "ROLLBACK")):
        bake = tuple(Poll(OPENED + 700.0 + 10 * look, "errors", 50, bad, 0, 0, -1) for look in range(20))
        found = replay(Recording("baked", before + bake, OPENED), policy)
        assert found.verdict.decision == decision
        assert (found.verdict.t > OPENED + 600) is (decision == "ROLLBACK")


def test_a_metric_that_a_policy_has_dropped_adds_nothing() -> None:
    """Beside one that has it; a name that no policy knows is an error."""
    both = rollout(0.0)
    slow = tuple(Poll(poll.t, "latency", 10, 10, 10, 0, 10) for poll in both.polls)
    given = Recording("both", tuple(sorted(both.polls + slow, key=lambda poll: poll.t)), OPENED)
    dropped = load_policy("metrics: {latency: null, feedback: null}")
    found = compare(lambda _: [given], [("all", load_policy("")), ("errors", dropped)])
    assert [one.decision for one in found.results] == ["ROLLBACK", "PROMOTE"]
    typo = Recording("typo", (Poll(OPENED, "latencies", 1, 0, 1, 0),), OPENED)
    with pytest.raises(BadInput, match="no metric 'latencies'"):
        compare(lambda _: [typo], [("all", load_policy(""))])


def test_why_nothing_was_decided_is_told_from_the_traffic_on_record(tmp_path: Path) -> None:
    """2 requests a second for two minutes do not suffice; on a recording that decided, nothing is said of traffic."""
    (tmp_path / "policy.yaml").write_text("{maximum_seconds: 200, metrics: {latency: null, feedback: null}}")
    short = written(rollout(0.0, looks=12, at_once=20, weight=50), tmp_path / "short.jsonl")
    found = json.loads(asked(short, "--policy", tmp_path / "policy.yaml").stdout)
    assert found["decision"] == "CONTINUE"
    assert [finding["id"] for finding in found["findings"]] == ["too-few-requests"]
    assert "at 2 requests/s" in found["findings"][0]["sentence"]
    long = written(rollout(0.0, looks=20, at_once=200, weight=50), tmp_path / "long.jsonl")
    found = json.loads(asked(long, "--policy", tmp_path / "policy.yaml").stdout)
    assert (found["decision"], found["findings"]) == ("PROMOTE", [])


# ---- the command -------------------------------------------------------------------------------------------------


def asked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["--json", "backtest", *map(str, arguments)])


def test_the_object_is_the_first_policys_verdict_and_compared_holds_every_row(tmp_path: Path) -> None:
    path = written(rollout(0.05), tmp_path / "polls.jsonl")
    (tmp_path / "policy.yaml").write_text("alpha: 0.02")
    (tmp_path / "canary.yaml").write_text(CANARY)
    baselines = ("--flagger", tmp_path / "canary.yaml", "--z-test")
    done = asked("--polls", path, "--policy", tmp_path / "policy.yaml", *baselines, "--plot", tmp_path / "drawn.svg")
    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert {"decision", "t", "reason", "metrics", "first_promote", "polls", "left_out", "cost"} <= set(found)
    assert found["decision"] == found["compared"][0]["decision"] == "ROLLBACK"
    assert [row["by"] for row in found["compared"]][1:] == ["Flagger: shop", "z-test at every look"]
    assert {finding["id"] for finding in found["findings"]} == {"guardrail-without-data"}
    assert found["threshold_rollback"] == pytest.approx(math.log(50))
    assert 'data-curve="' in (tmp_path / "drawn.svg").read_text()


def test_a_database_is_judged_by_its_own_policy_unless_another_is_named(tmp_path: Path) -> None:
    database = stored(tmp_path, rollout(0.05))
    found = json.loads(asked("--database", database, "--analysis", "1").stdout)
    assert found["threshold_rollback"] == pytest.approx(math.log(50))
    assert found["compared"][0]["by"] == "as stored"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name what was recorded"),
        (("polls.jsonl", "--database", "judge.db"), "name what was recorded"),
        (("--database", "judge.db"), "which analysis"),
        (("--prometheus", "http://127.0.0.1:9"), "--namespace is missing"),
        (
            ("--prometheus", "u", "--namespace", "n", "--name", "n", "--start", "noon", "--end", "1"),
            "'noon' is no time",
        ),
        (("nowhere.jsonl",), "No such file"),
    ],
)
def test_what_cannot_be_read_is_told(arguments: tuple[str, ...], says: str) -> None:
    done = asked(*arguments)
    assert isinstance(done.exception, BadInput)
    assert says in str(done.exception)


def test_a_table_fits_a_hundred_columns(tmp_path: Path) -> None:
    """Also with long names, which wrap."""
    path = written(rollout(0.05), tmp_path / "a-recording-of-a-canary-with-a-long-name-from-production.jsonl")
    again = written(rollout(0.005), tmp_path / "polls.jsonl")
    (tmp_path / "a-policy-that-has-a-long-name-too.yaml").write_text("")
    policy = str(tmp_path / "a-policy-that-has-a-long-name-too.yaml")
    done = CliRunner(env={"COLUMNS": "100"}).invoke(
        app, ["backtest", str(path), str(again), "--policy", policy, "--z-test"]
    )
    assert done.exit_code == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    assert "extra" in done.stdout
