"""What was recorded elsewhere than in files of polls: a Prometheus range, and access logs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from coalmine.cli import app
from coalmine.errors import BadInput, Temporary
from coalmine.judge.backtest import load_flagger, read_polls
from unit.judge.recordings import CANARY
from unit.judge.running import line
from unit.judge.scraped import Scraped, prometheus
from unit.judge.test_prometheus_source import policy_text

RANGE = ("--namespace", "n", "--name", "m", "--start", "1000", "--end", "1970-01-01T00:33:20+00:00")


def asked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["--json", "backtest", *map(str, arguments)])


def rollout(p_c: float) -> Scraped:
    """Raw counters of both arms, scraped every 10 s for 1,000 s: 20 and 180 requests each time."""
    rng, scraped = np.random.default_rng(1), Scraped()
    for arm, n, p in (("canary", 20, p_c), ("primary", 180, 0.005)):
        bad = np.cumsum(rng.binomial(n, p, size=100))
        for look, failed in enumerate(bad, start=1):
            t = 995.0 + 10.0 * look
            scraped.scrape(t, "requests", n * look - int(failed), arm=arm, code="200")
            scraped.scrape(t, "requests", int(failed), arm=arm, code="500")
    return scraped


def test_a_range_of_prometheus_is_judged_like_polls(tmp_path: Path) -> None:
    """A bad canary is found, and what it cost until then."""
    (tmp_path / "policy.yaml").write_text(policy_text())
    with prometheus(rollout(0.1)) as server:
        done = asked("--prometheus", server.url, *RANGE, "--policy", tmp_path / "policy.yaml", "--z-test")
    assert done.exit_code == 0, done.exception
    found = json.loads(done.stdout)
    assert found["decision"] == "ROLLBACK"
    assert found["compared"][0]["recording"] == "n/m"
    assert 0 < found["cost"]["canary_requests"] < 2000


def test_an_empty_range_and_a_silent_server_are_told(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(policy_text())
    policy = ("--policy", tmp_path / "policy.yaml")
    with prometheus(Scraped()) as server:
        empty = asked("--prometheus", server.url, *RANGE, *policy)
    assert isinstance(empty.exception, BadInput)
    assert "no outcome of n/m" in str(empty.exception)
    gone = asked("--prometheus", "http://127.0.0.1:9", *RANGE, *policy)
    assert isinstance(gone.exception, Temporary)


# ---- nonsense ----------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.integers(), st.floats(), st.none(), st.text(max_size=3), st.sampled_from([0, 5, 10**8, 2**70]))
ROWS = st.fixed_dictionaries(
    dict.fromkeys(("t", "n_c", "e_c", "n_b", "e_b"), NUMBERS) | {"metric": st.sampled_from(["errors", 7, None])},
    optional={"step": NUMBERS, "part": NUMBERS, "q_c": NUMBERS},
)
TEXTS = st.one_of(st.text(), st.builds(json.dumps, ROWS), st.just("[" * 100_000), st.just('{"t": 1e999}'))


@given(st.lists(TEXTS, max_size=4))
def test_any_text_is_polls_or_a_mistake_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    """Never a traceback, and nothing that the engine could not hold."""
    path = tmp_path_factory.mktemp("any") / "polls"
    path.write_text("\n".join(texts), encoding="utf-8", errors="surrogatepass")
    try:
        polls = read_polls(path)
    except BadInput as error:
        polls, where = [], error.where
    else:
        where = str(path)
    assert where.startswith(str(path))
    assert all(0 <= poll.e_c <= poll.n_c <= 10**7 and -1 <= poll.step <= 100 for poll in polls)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("threshold: 5", "threshold: five"),
        ("threshold: 5", "threshold: 10000000"),
        ("interval: 1m, thresholdRange", "interval: 0s, thresholdRange"),
        ("{min: 99}", "{min: most}"),
        ("spec:", "nothing: 1\nspec: null\nother:"),
        ("stepWeight: 10", "stepWeights: 10"),
        ("apiVersion", "\t"),
    ],
)
def test_a_canary_that_cannot_be_followed_is_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in CANARY
    (tmp_path / "canary.yaml").write_text(CANARY.replace(old, new, 1))
    with pytest.raises(BadInput, match="Canar"):
        load_flagger(tmp_path / "canary.yaml")


# ---- access logs -------------------------------------------------------------------------------------------------


def log(path: Path, *, releases: tuple[tuple[str, float], ...]) -> Path:
    """A rollout of each release at weight 20 for 200 s, 20 requests a second; the second is promoted at its end."""
    rng, lines, t, primary, epoch = np.random.default_rng(2), [], 5000.0, "m1-aaaaaaa", 1
    for release, rate in releases:
        epoch += 1
        for second in range(200):
            for number in range(20):
                canary = number % 5 == 0
                bad = rng.random() < (rate if canary else 0.005)
                status: dict[str, Any] = {"status": 503, "upstream_status": "503"} if bad else {}
                who = ("canary", release) if canary else ("primary", primary)
                lines.append(line(t + second + number / 20, *who, weight=20, epoch=epoch, **status))
        t, epoch = t + 200, epoch + 1
        primary = release if rate < 0.01 else primary
        lines += [line(t + second, "primary", primary, weight=0, epoch=epoch) for second in range(30)]
        t += 60
    path.write_text("".join(lines))
    return path


def test_each_rollout_in_an_access_log_is_judged_by_itself(tmp_path: Path) -> None:
    """With what came of it; each policy cuts its own polls from the same lines."""
    path = log(tmp_path / "access.jsonl", releases=(("m2-bbbbbbb", 0.3), ("m3-ccccccc", 0.0)))
    (tmp_path / "errors.yaml").write_text("metrics: {latency: null, feedback: null}")
    (tmp_path / "coarse.yaml").write_text("metrics: {errors: {poll_outcomes: 200}, latency: null, feedback: null}")
    policies = ("--policy", tmp_path / "errors.yaml", "--policy", tmp_path / "coarse.yaml")
    done = asked(path, *policies)
    assert done.exit_code == 0, done.exception
    rows = json.loads(done.stdout)["compared"]
    assert [row["recording"] for row in rows] == ["m2-bbbbbbb"] * 2 + ["m3-ccccccc"] * 2
    assert [row["decision"] for row in rows] == ["ROLLBACK"] * 2 + ["PROMOTE"] * 2
    assert [row["outcome"] for row in rows[1:3]] == ["not promoted", "promoted"]
    assert rows[0]["cost"]["canary_requests"] < rows[1]["cost"]["canary_requests"]


def test_a_rotated_log_may_begin_with_half_a_line_or_be_packed(tmp_path: Path) -> None:
    """The same release tried twice is two rollouts."""
    whole = log(tmp_path / "whole.jsonl", releases=(("m2-bbbbbbb", 0.3), ("m2-bbbbbbb", 0.3))).read_text()
    (tmp_path / "half.jsonl").write_text('00, "path": "/predict"}\n' + whole)
    with gzip.open(tmp_path / "packed.jsonl.gz", "wt") as file:
        file.write(whole)
    for name in ("half.jsonl", "packed.jsonl.gz"):
        rows = json.loads(asked(tmp_path / name).stdout)["compared"]
        assert [row["recording"] for row in rows] == ["m2-bbbbbbb", "m2-bbbbbbb #2"]
        assert {row["decision"] for row in rows} == {"ROLLBACK"}


def test_a_log_without_a_rollout_and_logs_beside_polls_are_told(tmp_path: Path) -> None:
    quiet = log(tmp_path / "quiet.jsonl", releases=())
    quiet.write_text("".join(line(5000.0 + t, "primary", "m1-aaaaaaa", weight=0) for t in range(60)))
    polls = tmp_path / "polls.jsonl"
    polls.write_text('{"t": 1, "metric": "errors", "n_c": 1, "e_c": 0, "n_b": 1, "e_b": 0}\n')
    for paths, says in (((quiet,), "no rollout in the log"), ((quiet, polls), "polls beside access logs")):
        done = asked(*paths)
        assert isinstance(done.exception, BadInput)
        assert says in str(done.exception)
