"""An end is closed once: main, alias, quarantine, report and people agree, whoever dies when."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from coalmine.cluster.attempts import End, Kind, Track
from coalmine.cluster.closing import Closing
from coalmine.cluster.options import Options, place
from coalmine.cluster.remote import Remote
from coalmine.cluster.store import ClosersStore, Told
from coalmine.cluster.witnesses import Judge
from coalmine.errors import Temporary
from coalmine.judge import views
from coalmine.judge.counting import Counting
from coalmine.judge.live import Live
from coalmine.judge.policy import load_policy
from coalmine.judge.store import Row
from coalmine.records import Ending, Outcome, Poll
from coalmine.release.alias import Registry
from coalmine.release.ledger import Ledger

from .histories import M1, M2, M3, Flagger
from .scene import ENV, Forge, Web, analysis, mlflow, web

POINTS = [
    "explained",
    *(
        f"{moment} {step}"
        for step in ("quarantine", "heal", "alias", "tags", "report", "notify slack", "notify pagerduty")
        for moment in ("doing", "did", "recorded")
    ),
    "closed",
]
CLOSE = """
import json, os, signal, sys
from pathlib import Path
from coalmine.cluster.closing import Closing
from coalmine.cluster.options import Options
from coalmine.cluster.remote import Remote
from coalmine.cluster.store import ClosersStore
from coalmine.cluster.witnesses import Judge
given = json.loads(sys.argv[1])
point = given.pop("point")
paths = {key: Path(given.pop(key)) for key in ("state", "notify")}
options = Options(**given, **paths)
store = ClosersStore(options.database)
main = Remote(options.git, options.clone)
main.prepare()
class Silent:
    def events(self, namespace, name):
        return ()
kill = lambda passed: os.kill(os.getpid(), signal.SIGKILL) if passed == point else None
closing = Closing(options, store, main, Judge(options.judge), Silent(), at=kill)
for told in store.open_ends():
    closing.close(told)
"""


@dataclass
class Site:
    """m1 served, m2 was pushed and has failed: one end waits to be closed."""

    options: Options
    forge: Forge
    store: ClosersStore
    people: Web
    judge: Web
    now: float
    events: list[Mapping[str, Any]]

    def tell(self, **changed: Any) -> Told:
        given: dict[str, Any] = {
            "attempt": 2, "release": M2, "kind": Kind.RELEASE, "primary": M1, "outcome": Outcome.ROLLED_BACK,
            "started": self.now - 60, "ended": self.now, "threshold": 30,
        }  # fmt: skip
        seen = replace(Flagger(t=self.now).served(M1).look(), env=ENV)
        self.store.save(seen, Track(), [End(**given | changed)])
        return self.store.open_ends()[-1]

    def closing(self, **more: Any) -> Closing:
        main = Remote(self.options.git, self.options.clone)
        main.prepare()
        site = self

        class Events:
            def events(self, namespace: str, name: str) -> list[Mapping[str, Any]]:
                assert (namespace, name) == ("sentiment", "sentiment")
                return site.events

        return Closing(self.options, self.store, main, Judge(self.options.judge), Events(), **more)

    def ledger(self) -> Ledger:
        return Ledger(place(self.options, "sentiment/sentiment", model="sentiment", env=ENV).database)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    forge = Forge.at(tmp_path)
    forge.release(M1)
    forge.release(M2)
    now = time.time()
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with web(lambda _: (202, {})) as people, web(lambda _: (200, [analysis("canary", now - 50)])) as judge:
        (secrets / "slack-url").write_text(f"{people.url}/slack/T0/secret\n")
        (secrets / "pagerduty-url").write_text(f"{people.url}/v2/enqueue")
        (secrets / "pagerduty-key").write_text("R0UTING")
        options = Options(
            state=tmp_path / "state", git=str(forge.bare.path), judge=judge.url, env=ENV, notify=secrets, grace=5.0
        )
        yield Site(options, forge, ClosersStore(options.database), people, judge, now, [])


def test_a_failed_release_is_healed_quarantined_and_told(site: Site) -> None:
    ending = site.closing().close(site.tell())
    assert str(M1) in site.forge.named()
    assert "sha256:" in site.forge.named(), "the file goes back with its image's digest"
    said = site.forge.bare.run("log", "-1", "--format=%B", "main")
    assert "canary errors 31 of 400" in said
    assert f"Coalmine-Failed: {M2}" in said
    assert ending.commit == site.forge.clone.run("rev-parse", "HEAD").strip()
    assert [at for at, _ in site.people.got] == ["/slack/T0/secret", "/v2/enqueue"]
    (slack, page) = (body for _, body in site.people.got)
    assert f"{M2} was rolled back; {M1} serves" in slack["text"]
    assert (page["routing_key"], page["event_action"], page["payload"]["severity"]) == ("R0UTING", "trigger", "error")
    assert page["dedup_key"] == page["key"] == slack["key"]
    assert site.ledger().quarantined("sentiment", M2) is not None
    assert site.store.open_ends() == []


def test_the_report_holds_the_judges_numbers_though_its_counters_name_no_release(site: Site) -> None:
    row = Row(1, "sentiment", "sentiment", "sum", 1, "closed", "rolled_back", site.now - 50, site.now, "", "", "", "{}")
    live = Live(row, load_policy(""), Counting(release="canary", assumed=True, weights=[[site.now - 40, 1.0, 25.0]]))
    live.feed([Poll(site.now - 30, "errors", n_c=400, e_c=60, n_b=1600, e_b=2, step=25)])
    shown = views.analysis(live, site.now)
    whole = {"analysis": shown, "trace": [], "events": [], "overrides": [], "cost": {}}
    site.judge.answer = lambda at: (200, whole if at.endswith("report.json") else [shown])
    ending = site.closing().close(site.tell())
    page = Path(site.ledger().steps(ending)["report"]).with_suffix(".json")
    facts = json.loads(page.read_text())
    assert (facts["complete"], facts["verdict"]) == (True, "rolled_back")
    assert facts["reason"] == facts["evidence"]["reason"] == shown["reason"]
    assert "60" in facts["reason"]
    assert [at["weight"] for at in facts["weights"]] == [25]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_kill_at_any_point_is_made_good_by_the_next_closer(site: Site, tmp_path: Path) -> None:
    """One heal commit, the alias where it was, one quarantine, one incident. A message may come twice, by one key, if
    the kill falls between its answer and its record.
    """
    folder = tmp_path / "mlflow"
    folder.mkdir()
    start = site.forge.bare.commit("main") or ""
    with mlflow(folder, "sentiment") as url:
        models = Registry(url, "sentiment")
        for point in POINTS:
            state = tmp_path / point.replace(" ", "-")
            site.options = replace(site.options, state=state, mlflow=url)
            site.store = ClosersStore(site.options.database)
            site.forge.bare.run("update-ref", "refs/heads/main", start)
            site.people.got.clear()
            models.point(1)
            told = site.tell()
            given = {name: str(getattr(site.options, name)) for name in ("state", "git", "judge", "env", "notify")}
            line = [sys.executable, "-c", CLOSE]
            options = given | {"mlflow": url}
            killed = subprocess.run([*line, json.dumps(options | {"point": point})], check=False)
            assert killed.returncode == -signal.SIGKILL, point
            subprocess.run([*line, json.dumps(options | {"point": "nowhere"})], check=True)
            assert site.forge.bare.run("rev-list", "--count", f"{start}..main").strip() == "1", point
            assert str(M1) in site.forge.named(), point
            assert models.alias() == 1, point
            assert len(site.ledger().quarantines("sentiment")) == 1, point
            keys = {body["key"] for _, body in site.people.got}
            assert len(keys) == 1, point
            sent = [at for at, _ in site.people.got]
            assert len(sent) == (3 if point.startswith("did notify") else 2), point
            assert site.store.open_ends() == [], point
            assert told.end.release == M2


def test_git_out_of_reach_keeps_neither_quarantine_nor_people_waiting(site: Site) -> None:
    told = site.tell()
    away = site.forge.bare.path.with_name("away")
    site.forge.bare.path.rename(away)
    closing = site.closing(clock=lambda: told.told + 60)
    with pytest.raises(Temporary, match=r"waits for: heal \(.*main cannot be fetched"):
        closing.close(told)
    assert site.ledger().quarantined("sentiment", M2) is not None
    assert len(site.people.got) == 2
    away.rename(site.forge.bare.path)
    closing.close(site.store.open_ends()[0])
    assert site.forge.heals() == 1
    assert len(site.people.got) == 2


def test_a_silent_judge_is_waited_for_and_then_named(site: Site) -> None:
    site.judge.answer = lambda _: (503, {})
    told = site.tell(failed_checks=30)
    site.events = [
        _event(site.now - 1, "Halt advancement no values found for custom metric evidence-backstop"),
        _event(site.now, "Rolling back sentiment.sentiment failed checks threshold reached 30"),
        _event(site.now, "Canary failed! Scaling down sentiment.sentiment"),
    ]
    with pytest.raises(Temporary, match="the judge does not answer"):
        site.closing(clock=lambda: told.told + 1).close(told)
    ending = site.closing(clock=lambda: told.told + 6).close(told)
    assert ending.reason == (
        "the judge did not answer: 30 failed checks reached Flagger's threshold of 30:"
        ' "Halt advancement no values found for custom metric evidence-backstop"'
    )


def test_a_release_that_is_never_ready_is_told_in_flaggers_words(site: Site) -> None:
    site.judge.answer = lambda _: (200, [])
    words = 'canary deployment sentiment.sentiment not ready: deployment "sentiment" exceeded its progress deadline'
    site.events = [_event(site.now - 2, words), _event(site.now, "Canary failed! Scaling down sentiment.sentiment")]
    assert site.closing().close(site.tell()).reason == f'rolled back by Flagger: "{words}"'


def test_a_persons_push_stands(site: Site) -> None:
    site.forge.release(M3)
    ending = site.closing().close(site.tell())
    assert str(M3) in site.forge.named()
    assert site.ledger().steps(ending)["heal"] == "left: main no longer asked for it"
    assert site.ledger().quarantined("sentiment", M2) is not None


@pytest.mark.parametrize(("kind", "word"), [(Kind.CONFIG, "a person must take it back"), (Kind.RETURN, "must decide")])
def test_what_no_release_is_to_blame_for_is_told_and_left(site: Site, kind: Kind, word: str) -> None:
    before = site.forge.bare.commit("main")
    ending = site.closing().close(site.tell(kind=kind, release=M1))
    assert word in site.ledger().steps(ending)["heal"]
    assert site.forge.bare.commit("main") == before
    assert site.ledger().quarantined("sentiment", M1) is None
    assert len(site.people.got) == 2


def test_a_first_release_that_failed_stays_named_since_an_overlay_needs_the_file(site: Site) -> None:
    before = site.forge.bare.commit("main")
    ending = site.closing().close(site.tell(primary=None))
    assert site.forge.bare.commit("main") == before
    assert "no release before it" in site.ledger().steps(ending)["heal"]
    assert site.people.got[1][1]["payload"]["severity"] == "critical"


def test_a_rollback_that_looked_superseded_is_closed_as_one(site: Site) -> None:
    """The closer was down when it failed, and saw the next push only; the judge's record knows."""
    ending = site.closing().close(site.tell(outcome=Outcome.SUPERSEDED, note="m3 was pushed during the canary"))
    assert ending.outcome is Outcome.ROLLED_BACK
    assert site.ledger().quarantined("sentiment", M2) is not None
    assert site.store.open_ends() == []


def test_a_promotion_is_told_to_the_channel_and_wakes_nobody(site: Site) -> None:
    site.judge.answer = lambda _: (
        200,
        [analysis("canary", site.now - 50, outcome="promoted", decision="PROMOTE", reason="no worse: errors 1 of 900")],
    )
    ending = site.closing().close(site.tell(outcome=Outcome.PROMOTED, primary=M2))
    assert ending.reason == "no worse: errors 1 of 900"
    assert [at for at, _ in site.people.got] == ["/slack/T0/secret"]


def test_a_webhook_that_fails_is_tried_again_and_one_that_is_gone_is_not(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    site.people.answer = lambda at: (404 if at.startswith("/slack") else 503, {})
    told = site.tell()
    with pytest.raises(Temporary, match=r"waits for: notify pagerduty \(pagerduty answers 503\)") as caught:
        site.closing().close(told)
    site.people.answer = lambda _: (202, {})
    ending = site.closing().close(told)
    steps = site.ledger().steps(ending)
    assert steps["notify slack"] == "failed: slack refuses: 404"
    assert steps["notify pagerduty"].startswith("told coalmine/bench/sentiment/sentiment/m2-abc1234/rolled_back/")
    everything = "".join([str(caught.value), *steps.values(), *capfd.readouterr()])
    assert "secret" not in everything
    assert "R0UTING" not in everything


def test_what_ended_more_than_a_day_ago_is_no_news(site: Site) -> None:
    site.closing().close(site.tell(started=site.now - 100_060, ended=site.now - 100_000))
    assert site.people.got == []


def test_an_ending_once_written_down_stays_as_it_is(site: Site) -> None:
    """What is in git's message must be what the next try looks for."""
    told = site.tell()
    site.people.answer = lambda _: (503, {})
    with pytest.raises(Temporary):
        site.closing().close(told)
    site.judge.answer = lambda _: (200, [analysis("canary", site.now - 50, reason="another sentence")])
    site.people.answer = lambda _: (202, {})
    ending: Ending = site.closing().close(site.store.open_ends()[0])
    assert ending.reason.startswith("canary errors 31 of 400")


def _event(t: float, note: str) -> dict[str, Any]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))
    return {
        "type": "Warning",
        "note": note,
        "deprecatedLastTimestamp": stamp,
        "metadata": {"resourceVersion": f"{t:.0f}"},
    }
