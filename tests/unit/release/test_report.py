"""The report says what happened whether or not the judge lives, and its counts are those of the access log."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from coalmine.judge import report as judge_report
from coalmine.judge.counting import Counting
from coalmine.judge.live import Live
from coalmine.judge.policy import load_policy
from coalmine.judge.store import Row
from coalmine.records import Ending, Outcome, Poll
from coalmine.release.cost import count
from coalmine.release.report import complete, write
from coalmine.settings import Ports

from .conftest import M1, M2, Site


def line(t: float, release: object, arm: str, status: int, **more: object) -> str:
    return json.dumps({"t": t, "release": str(release), "arm": arm, "status": status, "service_ms": "1.0", **more})


def logged(site: Site, *lines: str, rotated: bool = False) -> Path:
    log = site.settings.access_log.with_name("access.jsonl.1") if rotated else site.settings.access_log
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return site.settings.access_log


def bytes_read() -> int:
    """By this process, from anything, since it began."""
    counts = dict(row.split(": ") for row in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    return int(counts["rchar"])


def test_what_a_release_cost_is_counted_by_arm_and_time(site: Site) -> None:
    log = logged(
        site,
        line(999.0, M2, "canary", 200),  # before
        line(1001.0, M2, "canary", 200, weight=10),
        line(1002.0, M1, "primary", 500),
        line(1003.0, M2, "canary", 500, weight=10),
        line(1004.0, M2, "canary", 502, weight=25, service_ms=""),
        line(1005.0, M2, "canary", 499, weight=25, service_ms=""),
        line(1006.0, M2, "", 429),
        line(1007.0, M2, "primary", 503),
        line(1030.0, M2, "canary", 500),  # after
        '{"half a li',
    )
    cost = count(log, M2, started=1000.0, ended=1020.0)
    assert (cost.canary_requests, cost.failed, cost.lost) == (4, 3, 2)
    assert (cost.bake_requests, cost.bake_failed, cost.bake_lost) == (1, 1, 0)
    assert cost.weights == [(1001.0, 10), (1004.0, 25)]


def test_requests_that_hung_in_the_canary_at_its_end_were_its_cost(site: Site) -> None:
    """They are logged up to the edge's time-out later; what the next attempt routes is not this one's."""
    log = logged(
        site,
        line(1021.0, M2, "canary", 504, service_ms="", seconds=11.0),
        line(1021.1, M2, "canary", 200, seconds=0.1),
        line(1021.2, M2, "primary", 200, seconds=11.0),
    )
    cost = count(log, M2, started=1000.0, ended=1020.0)
    assert (cost.canary_requests, cost.failed, cost.lost, cost.bake_requests) == (1, 1, 1, 0)


def test_a_rotated_log_counts_too(site: Site) -> None:
    logged(site, line(1001.0, M2, "canary", 200), rotated=True)
    log = logged(site, line(1002.0, M2, "canary", 200))
    assert count(log, M2, started=1000.0, ended=1020.0).canary_requests == 2


def test_a_log_that_is_not_there_counts_nothing(site: Site) -> None:
    assert count(site.settings.access_log, M2, started=0.0, ended=1.0).canary_requests == 0


def test_a_long_log_is_entered_near_the_time_asked_for(site: Site) -> None:
    """A day before the attempt is passed over, not read: the count is right, of a hundredth of the bytes."""
    log = logged(site, *(line(t, M2, "canary", 200) for t in range(300_000)))
    before = bytes_read()
    assert count(log, M2, started=299_000.0, ended=299_099.0).canary_requests == 100
    assert bytes_read() - before < log.stat().st_size / 20


def judged() -> dict[str, Any]:
    """What the judge reports of m2, folded by the real engine: 15 polls, the canary fails one request in twenty."""
    row = Row(1, "sentiment", "sentiment", "c1", 1, "closed", "rolled_back", 1000.5, 1020.0, "", "", "{}", "{}")
    counting = Counting(release=str(M2), baseline=[str(M1)], weight=10, exposed=1001.0, routed={"10": 600}, failed=30)
    live = Live(row, load_policy(""), counting)
    live.feed(Poll(1001.0 + i, "errors", n_c=40, e_c=2, n_b=160, e_b=0, step=10) for i in range(15))
    return judge_report.facts(live, 1021.0)


class Judge(BaseHTTPRequestHandler):
    """The judge's side of HTTP with one analysis; the real one has its own tests."""

    def do_GET(self) -> None:
        facts = judged()
        body = json.dumps(facts if self.path.endswith("/report.json") else [facts["analysis"]]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def told(site: Site) -> Site:
    """m1 serves, m2 failed; nothing listens where the judge should."""
    site.know(M1)
    site.know(M2)
    logged(site, *(line(1001.0 + i / 50, M2, "canary", 500 if i % 20 == 0 else 200, weight=10) for i in range(600)))
    return replace(site, settings=site.settings.model_copy(update={"ports": Ports(judge=1)}))


def test_the_report_lists_what_the_closing_has_done_so_far(told: Site) -> None:
    """It is written as the closing's last step, when the others are on record."""
    ending = told.ending(M2, M1, "c" * 40)
    told.ledger.begin(ending)
    told.ledger.record(ending, "heal", "reverted by 1234567")
    told.ledger.record(ending, "quarantine", "m2 is not released again")
    page = Path(write(told.settings, ending).html).read_text(encoding="utf-8")
    assert "reverted by 1234567" in page
    assert "m2 is not released again" in page


def test_without_a_judge_the_report_says_so_and_is_completed_later(told: Site) -> None:
    ending = told.ending(M2, M1, "c" * 40)
    told.ledger.begin(ending)
    report = write(told.settings, ending)
    assert report.facts["complete"] is False
    assert "Not complete: the judge&#39;s evidence: the judge does not answer" in Path(report.html).read_text("utf-8")
    server = HTTPServer(("127.0.0.1", 0), Judge)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        ports = Ports(judge=server.server_port)
        assert complete(told.settings.model_copy(update={"ports": ports})) == 1
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    facts = json.loads(Path(report.json).read_text(encoding="utf-8"))
    assert facts["complete"] is True
    assert facts["cost"] == {
        "canary_requests": 600, "failed": 30, "lost": 0, "bake_requests": 0, "bake_failed": 0, "bake_lost": 0,
        "extra_failures": 30.0,
    }  # fmt: skip
    assert facts["before"] == str(M1)
    assert {row["field"]: row["after"] for row in facts["changed"]}["dataset_digest"] == "data2"
    assert facts["trace"][-1]["log_e_mean"] >= facts["evidence"]["threshold_rollback"]
    assert facts["evidence"]["decision"] == "ROLLBACK"
    assert Path(report.json).with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert "was rolled back: errors: 31 of 400" in facts["sentence"]
    assert complete(told.settings) == 0


def test_a_first_release_needs_no_judge(told: Site) -> None:
    report = write(told.settings, told.ending(M1, M1, "c" * 40, outcome=Outcome.FIRST_RELEASE, reason=""))
    assert report.facts["complete"] is True
    assert report.facts["before"] is None


def test_a_reason_is_text_not_markup(told: Site) -> None:
    report = write(told.settings, told.ending(M2, M1, "c" * 40, reason="<script>alert(1)</script>"))
    assert "<script" not in Path(report.html).read_text(encoding="utf-8")


def test_the_run_is_linked_where_a_browser_can_open_it_and_the_commit_where_it_is_published(told: Site) -> None:
    told.checkout.run("remote", "add", "origin", "git@forge.example:team/models.git")
    sha = told.commit()
    ending = told.ending(M2, M1, sha)
    tracked = told.settings.model_copy(update={"mlflow_uri": "https://mlflow.example/"})
    found = {link["field"]: link["href"] for link in write(tracked, ending).facts["links"]}  # type: ignore[attr-defined]
    assert found == {
        "run_id": "https://mlflow.example/#/runs/run2",
        "model_version": "https://mlflow.example/#/models/sentiment/versions/2",
    }, "no branch of origin is known to hold the commit"
    told.checkout.run("update-ref", "refs/remotes/origin/main", sha)
    report = write(told.settings.model_copy(update={"mlflow_uri": "databricks"}), ending)
    assert report.facts["links"] == [{"field": "commit", "href": f"https://forge.example/team/models/commit/{sha}"}]
    assert f'<a href="https://forge.example/team/models/commit/{sha}">' in Path(report.html).read_text(encoding="utf-8")


@pytest.fixture
def rolled_back(site: Site) -> Iterator[tuple[Site, Ending]]:
    """The real judge, told by a log of 300 requests an arm (the canary fails one in ten) to roll m2 back."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    site = replace(site, settings=site.settings.model_copy(update={"ports": Ports(judge=port)}))
    site.know(M1)
    site.know(M2)
    settings, url = site.settings, site.settings.judge_url
    log = logged(site, line(time.time(), M1, "primary", 200, weight=0, epoch=1))
    files = ["--access-log", str(log), "--feedback", str(settings.feedback_database)]
    command = [sys.executable, "-m", "coalmine.judge", "--port", str(port), "--database", str(settings.judge_database)]
    judge = subprocess.Popen([*command, *files])
    try:
        until(lambda: requests.get(f"{url}/healthz", timeout=1).ok)
        started, payload = time.time(), {"name": "sentiment", "namespace": "sentiment", "checksum": "1"}
        told = payload | {"phase": "Progressing", "metadata": {"release": str(M2), "weight": "50"}}
        assert requests.post(f"{url}/hooks/pre-rollout", json=told, timeout=5).status_code == 200
        with log.open("a", encoding="utf-8") as out:
            for number in range(600):
                arm, release = ("canary", M2) if number % 2 else ("primary", M1)
                status = 500 if arm == "canary" and number % 20 == 1 else 200
                out.write(
                    line(time.time(), release, arm, status, weight=50, epoch=2, upstream_status=str(status)) + "\n"
                )
                out.flush()
                time.sleep(0.005)
        until(lambda: requests.post(f"{url}/hooks/rollback", json=told, timeout=5).status_code == 200)
        requests.post(f"{url}/hooks/post-rollout", json=payload | {"phase": "Failed"}, timeout=5)
        yield site, site.ending(M2, M1, "c" * 40, started=started, ended=time.time())
    finally:
        judge.terminate()
        judge.wait(20)


def until(asked: Callable[[], bool]) -> None:
    last = time.monotonic() + 30
    while time.monotonic() < last:
        try:
            if asked():
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    pytest.fail("the judge did not come to it within 30 s")


@pytest.mark.slow
def test_the_real_judges_evidence_is_reported_and_a_browser_draws_it(
    rolled_back: tuple[Site, Ending], tmp_path: Path
) -> None:
    """COALMINE_SCREENSHOT=<file> keeps the picture to look at."""
    site, ending = rolled_back
    report = write(site.settings, ending)
    facts: dict[str, Any] = report.facts
    assert facts["missing"] == ""
    assert facts["evidence"]["decision"] == "ROLLBACK"
    assert facts["trace"][-1]["log_e_mean"] >= facts["evidence"]["threshold_rollback"]
    assert facts["cost"]["canary_requests"] == 300
    assert facts["cost"]["failed"] == 30
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("no chromium on this machine: apt-get install chromium")
    picture = Path(os.environ.get("COALMINE_SCREENSHOT") or tmp_path / "report.png")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,1700"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    subprocess.run(
        [*command, profile, f"--screenshot={picture}", Path(report.html).as_uri()],
        check=True, capture_output=True, timeout=90,
    )  # fmt: skip
    assert picture.stat().st_size > 20_000
