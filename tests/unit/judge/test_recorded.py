"""What was recorded elsewhere than in files of polls: a Prometheus range, and access logs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner, Result

from coalmine.cli import app
from coalmine.errors import BadInput, Temporary
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
