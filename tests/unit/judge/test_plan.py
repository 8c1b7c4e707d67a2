"""What is promised before a canary runs is what the simulated rollouts did, with bounds that hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from typer.testing import CliRunner, Result

from coalmine.cli import app
from coalmine.errors import BadInput
from coalmine.judge import pictures
from coalmine.judge.plan import Question, plan, upper_bound
from coalmine.judge.policy import load_policy
from coalmine.judge.simulate import Ramp, Traffic, rollouts
from unit.judge.recordings import CANARY, thresholds

QUESTION = Question(Ramp((5, 10, 25, 50), 10.0), 20.0, 0.005, faults=(0.05, 0.2), runs=100, seed=4)
POLICY = load_policy("")


def test_the_figures_are_those_of_the_simulated_rollouts() -> None:
    """Of the runs that ended as they should."""
    healthy, worse, broken = plan(QUESTION, [("default", POLICY)])
    runs = rollouts(POLICY, QUESTION.ramp, Traffic(20, 0.005, 0.005), runs=100, seed=4)
    right = runs.decision == "PROMOTE"
    assert healthy.healthy
    assert healthy.promoted == pytest.approx(right.mean())
    assert healthy.mean_requests == pytest.approx(runs.canary_requests[right].mean())
    assert (worse.rate, broken.rate) == (0.05, 0.2)
    assert worse.rolled_back == broken.rolled_back == 1.0
    assert worse.mean_requests is not None
    assert broken.mean_requests is not None
    assert worse.mean_requests > broken.mean_requests
    assert worse.ended == tuple(sorted(worse.ended))


def test_flaggers_thresholds_meet_the_same_traffic() -> None:
    """A broken canary costs users more there, since a check comes only once a minute."""
    found = plan(QUESTION, [("default", POLICY)], flagger=[thresholds()])
    ours, theirs = (one for one in found if one.rate == 0.2)
    assert (ours.by, theirs.by) == ("default", "Flagger: shop")
    assert ours.mean_failures is not None
    assert theirs.mean_failures is not None
    assert theirs.median_seconds == 360
    assert theirs.mean_failures > 5 * ours.mean_failures


def test_a_fault_within_the_primarys_own_rate_is_none() -> None:
    found = plan(Question(QUESTION.ramp, 20.0, 0.05, runs=50), [("default", POLICY)])
    assert [(one.rate, one.healthy) for one in found] == [(0.05, True), (0.2, False)]


def test_the_same_seed_gives_the_same_figures() -> None:
    assert plan(QUESTION, [("default", POLICY)]) == plan(QUESTION, [("default", POLICY)])


@given(st.integers(1, 5000), st.data())
def test_the_bound_is_the_rate_at_which_so_few_would_be_one_in_a_hundred(n: int, data: st.DataObject) -> None:
    """Clopper and Pearson's definition."""
    k = data.draw(st.integers(0, n))
    bound = upper_bound(k, n)
    assert k / n <= bound <= 1
    if k < n:
        assert binom.cdf(k, n, bound) == pytest.approx(0.01, rel=1e-6)


def test_a_canary_without_checks_is_refused_as_a_baseline() -> None:
    with pytest.raises(BadInput, match="no steps"):
        plan(QUESTION, [("default", POLICY)], flagger=[thresholds(weights=())])


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_picture_has_a_curve_for_each_judge(tmp_path: Path, suffix: str) -> None:
    found = plan(QUESTION, [("default", POLICY)], flagger=[thresholds()])
    path = tmp_path / f"drawn{suffix}"
    pictures.write(path, pictures.outlooks(found))
    drawn = path.read_bytes()
    assert drawn.startswith(b"\x89PNG" if suffix == ".png" else b"<svg")
    if suffix == ".svg":
        assert drawn.decode().count('data-curve="default"') == 3
        assert drawn.decode().count('data-curve="Flagger: shop"') == 3
    with pytest.raises(BadInput, match="no picture's name"):
        pictures.write(tmp_path / "drawn.gif", pictures.outlooks(found))


# ---- the command -------------------------------------------------------------------------------------------------


def asked(*arguments: str | Path, machine: bool = True) -> Result:
    first = ["--json"] if machine else []
    level = ["--rps", "20", "--error-rate", "0.005", "--runs", "50"]
    return CliRunner(env={"COLUMNS": "100"}).invoke(app, [*first, "plan", *level, *map(str, arguments)])


def test_a_canary_gives_the_ramp_and_a_baseline(tmp_path: Path) -> None:
    """The project's own has no check on requests: its ramp counts, and why it is no baseline is told."""
    (tmp_path / "canary.yaml").write_text(CANARY)
    found = json.loads(asked("--canary", tmp_path / "canary.yaml").stdout)
    assert {row["by"] for row in found["outlooks"]} == {"empty policy", "Flagger: shop"}
    own = Path(__file__).parents[3] / "flagger" / "sentiment" / "canary.yaml"
    found = json.loads(asked("--canary", own).stdout)
    assert {row["by"] for row in found["outlooks"]} == {"empty policy"}
    assert {finding["id"] for finding in found["findings"]} == {"flagger-without-checks"}


def test_the_table_fits_a_hundred_columns_and_progress_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "canary.yaml").write_text(CANARY)
    (tmp_path / "policy-with-a-name-that-is-very-long-indeed.yaml").write_text("maximum_seconds: 60")
    policy = tmp_path / "policy-with-a-name-that-is-very-long-indeed.yaml"
    done = asked("--canary", tmp_path / "canary.yaml", "--policy", policy, machine=False)
    assert done.exit_code == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 100
    assert "20 % bad" in done.stdout
    assert "remedy: maximum_seconds:" in done.stdout
    assert "a healthy release, 50 runs" in done.stderr
    assert "50 runs" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--weights", "5,ten"), "are no weights"),
        (("--weights", "50,10"), "a ramp rises"),
        (("--error-rate", "2"), "error rates"),
        (("--canary", "nowhere.yaml"), "No such file"),
    ],
)
def test_what_cannot_be_simulated_is_told(arguments: tuple[str, ...], says: str) -> None:
    done = asked(*arguments)
    assert isinstance(done.exception, BadInput)
    assert says in str(done.exception)
