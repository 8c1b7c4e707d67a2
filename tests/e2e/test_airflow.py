"""Retraining through a real Airflow: it starts and ends cleanly, tries again what helps, and closes the loop."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psutil
import pytest

from coalmine.local import airflow
from coalmine.pipeline.command import BEGIN, STEPS
from coalmine.pipeline.plan import runs_of
from coalmine.records import Outcome
from e2e.airflow import DAG, PATIENCE, Airflow, scheduled
from e2e.runtime import Runtime, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

# Votes alone start a run: the clock plays no part in the tests.
RETRAINING = """\
schema: 1
when: {every_hours: null, labels: 1500, drift: false, pause_minutes: 0}
how: {domains: [tweets]}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """Up, with a model serving that learnt from tweets alone."""
    with started(tmp_path_factory.mktemp("airflow"), base=25443) as made:
        made.commit("bentos/sentiment/retraining.yaml", RETRAINING, why="train when people have voted")
        made.git("push", "--quiet", "coalmine", "HEAD:main")
        yield made


@pytest.fixture(scope="module")
def scheduler(here: Runtime) -> Iterator[Airflow]:
    with scheduled(here) as made:
        yield made


def test_it_listens_on_loopback_alone_and_its_password_is_in_no_log(scheduler: Airflow) -> None:
    """One address of pages; whoever may log in knows what only the state folder's owner can read."""
    assert scheduler.listens() == {("127.0.0.1", scheduler.port)}
    assert airflow.password_file(scheduler.here.settings).stat().st_mode & 0o077 == 0
    logs = scheduler.here.settings.logs.glob("airflow*")
    assert not any(scheduler.password in log.read_text(errors="replace") for log in logs)
    words = [" ".join([*one.cmdline(), *one.environ().values()]) for one in scheduler.family()]
    assert words
    assert not any(scheduler.password in said for said in words)


def test_it_reads_the_dag_of_main(scheduler: Airflow) -> None:
    """From the runtime's repository, with the commit that it read."""

    def read() -> object:
        return scheduler.ask("GET", "/dags")["dags"]

    scheduler.here.wait("the DAG", read, seconds=PATIENCE)
    (dag,) = scheduler.ask("GET", "/dags")["dags"]
    assert (dag["dag_id"], dag["bundle_version"]) == (DAG, scheduler.here.main())
    assert scheduler.ask("GET", "/importErrors")["import_errors"] == []


def test_killed_and_started_again_it_goes_on_with_the_parts_that_live(scheduler: Airflow) -> None:
    """The command dies at once, its parts do not; the next one keeps them, and a dead one is started anew."""
    before = {one.pid for one in scheduler.family() if one.ppid() in {1, scheduler.child and scheduler.child.pid}}
    scheduler.kill()
    scheduler.start()
    assert before & {one.pid for one in scheduler.family()} == before


def test_what_may_pass_by_itself_is_tried_again_and_nothing_else(scheduler: Airflow) -> None:
    """A killed step is done again; a second run waits; uncommitted changes fail at once, with one try."""
    here = scheduler.here
    stray = here.checkout / "stray"
    stray.touch()
    refused = scheduler.trigger()
    assert scheduler.ended(refused) == "failed"
    stray.unlink()
    assert scheduler.tasks(refused)[BEGIN] == ("failed", 1)
    assert scheduler.tasks(refused)[STEPS[0]] == ("upstream_failed", 0)

    first = scheduler.trigger(release=False)
    second = scheduler.trigger(release=False)
    here.wait("the step `train`", lambda: _killed("train", first), seconds=PATIENCE)
    assert scheduler.state(second) == "queued", "one at a time"
    scheduler.ask("DELETE", f"/dags/{DAG}/dagRuns/{second}")
    assert scheduler.ended(first) == "success"
    tasks = scheduler.tasks(first)
    assert tasks["train"] == ("success", 2)
    # No better than what serves, or as asked not released: either is well, and skips what follows.
    assert tasks["release"] == ("skipped", tasks["release"][1])
    assert runs_of(here.settings).latest()[0].outcome == "no better"


def test_votes_become_a_promoted_release_with_nobody_touching_anything(scheduler: Airflow) -> None:
    """The threshold is reached, Airflow's run trains and releases, the canary is promoted; then all of it ends."""
    here = scheduler.here
    here.crowd(rate=60, domain="reviews").ask(rate=60, domain="reviews", split="feedback")
    ending = here.ended(2, seconds=1500)
    here.people[-1].ask(rate=0)
    assert ending.outcome is Outcome.PROMOTED
    run = next(one for one in runs_of(here.settings).latest() if str(ending.release) in one.detail)
    assert (run.reason, run.outcome) == ("labels", "released")
    assert run.id.startswith("asset_triggered__")
    assert here.champion() == ending.release.version
    took = ending.ended - run.started
    print(f"from the threshold to the promotion: {took:.0f} s")  # noqa: T201 - the figure that docs quote
    assert scheduler.ended(run.id) == "success"
    report = httpx.get(scheduler.links(run.id, "release")["Release report"], trust_env=False)
    assert f"{ending.release} was promoted" in report.text
    family = scheduler.family()
    assert scheduler.stop() == 0
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def _killed(name: str, run: str) -> int:
    """How many processes of one step of a run there were to kill."""
    count = 0
    for one in psutil.process_iter(["cmdline"]):
        words = one.info["cmdline"] or []
        if words[-3:] == [name, "--run", run] and "coalmine.cli" in words:
            one.kill()
            count += 1
    return count
