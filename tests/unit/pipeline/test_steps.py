"""A run's steps on a tiny project, with the real MLflow, BentoML and git: each once, whoever calls how often."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from coalmine.errors import BadInput, NothingToDo, Refused, Temporary
from coalmine.pipeline import plan as plans
from coalmine.pipeline import steps
from coalmine.pipeline.plan import Wishes, folder_of, runs_of, start
from coalmine.records import Kind, ModelVersion, Released
from coalmine.settings import Settings
from coalmine.steps.tracking import CHAMPION, connect
from unit.feedback.filled import a_prediction, an_event, log, say

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def here(
    make_project: Callable[[Path], Settings],
    with_remote: Callable[[Settings], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """After one run, which released version 1; the rollout has made it champion."""
    made = make_project(tmp_path_factory.mktemp("steps") / "project")
    with_remote(made)
    start(made, "first", Wishes(by_hand=True))
    released = steps.run_all(made, "first")
    assert isinstance(released, Released)
    connect(made).MlflowClient().set_registered_model_alias("toy", CHAMPION, "1")  # as the closer does
    return made


def test_a_run_ends_in_a_commit_that_names_its_release(here: Settings) -> None:
    """And its records say how it came there."""
    (run,) = [one for one in runs_of(here).latest() if one.id == "first"]
    assert (run.reason, run.outcome) == ("hand", "released")
    left = {path.stem for path in folder_of(here, "first").glob("*.json")}
    assert left == {"plan", *steps.STEPS}
    message = subprocess.run(
        ["git", "-C", str(here.project), "log", "-1", "--format=%B", "coalmine/main"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert message.startswith("release toy m1-")


def test_a_step_that_is_done_is_found_done(here: Settings) -> None:
    """Also where the run has ended: a scheduler's task may be cleared and started again."""
    again = steps.run_step(here, "first", "register")
    assert isinstance(again, ModelVersion)
    assert again.version == 1


def test_a_candidate_no_better_than_the_champion_ends_the_run_and_says_by_how_much(here: Settings) -> None:
    """The same rows give the same model: a gain of nothing. What follows hears that the run has ended."""
    start(here, "same", Wishes(by_hand=True))
    with pytest.raises(NothingToDo, match=r"no better than the champion: by \+0\.0000, more than 0 is wanted"):
        steps.run_all(here, "same")
    (run,) = [one for one in runs_of(here).latest() if one.id == "same"]
    assert run.outcome == "no better"
    with pytest.raises(NothingToDo, match="it has ended, no better"):
        steps.run_step(here, "same", "register")


def call(here: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, as whoever schedules it calls it."""
    line = [sys.executable, "-m", "coalmine.cli", "--project", str(here.project), "--state", str(here.state)]
    return subprocess.run([*line, *arguments], capture_output=True, text=True, timeout=300, check=False)


def test_the_commands_hand_over_in_processes_of_their_own(here: Settings) -> None:
    """As a scheduler calls them: exit 0 for done, 99 for an end, and with a file the word instead."""
    word = here.state / "word"
    assert call(here, "pipeline", "start", "--run", "apart", "--because", "hand").returncode == 0
    done = call(here, "--json", "step", "collect", "--run", "apart")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["record"]["rows"] == 80
    told = call(here, "pipeline", "start", "--run", "another", "--because", "hand", "--outcome", str(word))
    assert (told.returncode, word.read_text()) == (0, "end")
    assert "run apart goes on" in told.stderr
    assert call(here, "pipeline", "start", "--run", "another", "--because", "hand").returncode == 99
    runs_of(here).end("apart", "failed", "given up by the test")


def test_what_people_said_becomes_a_release_that_leads_back_to_it(here: Settings) -> None:
    """Commit, snapshot, run, version and release name one another; the snapshot gives the same model again."""
    rows = [replace(a_prediction(f"new word {number}"), output={"label": "yes"}) for number in range(60)]
    log(here, rows)
    say(here, [an_event(row, 1, Kind.THUMB, number % 2, user=row.id) for number, row in enumerate(rows)])
    start(here, "learnt", Wishes(by_hand=True, override="it gains nothing on words that it had"))
    released = steps.run_all(here, "learnt")
    say(here, [an_event(row, 2, Kind.THUMB, 0.0, user=row.id) for row in rows])  # later words change nothing of it

    found = json.loads(call(here, "--json", "pipeline", "lineage", str(released.release)).stdout)
    assert found["retraining"] == "learnt: asked for by hand"
    assert (found["snapshot"]["record"]["rows"], found["snapshot"]["lost"]) == (60, "")
    assert [one["release"] for one in found["releases"]] == [str(released.release)]
    client = connect(here).MlflowClient()
    version = client.get_model_version("toy", str(found["version"])).tags
    run = client.get_run(found["run"]).data.tags
    for tags in (version, run):
        assert tags["coalmine.snapshot"] == found["snapshot"]["digest"]
        assert tags["coalmine.retraining"] == "learnt"
        assert tags["coalmine.release"] == str(released.release)
        assert (tags["coalmine.git_sha"], tags["coalmine.dataset_digest"]) == (found["commit"], found["dataset"])

    again = json.loads(call(here, "--json", "collect", "--snapshot", found["snapshot"]["digest"][:12]).stdout)
    assert again["digest"] == found["dataset"]
    made = json.loads(call(here, "--json", "train").stdout)
    assert client.get_run(made["run_id"]).data.tags["coalmine.model_digest"] == found["model_digest"]
    assert call(here, "pipeline", "lineage", "m9-abcdef1").returncode == 2


def test_a_run_whose_mode_is_incremental_goes_on_from_the_champion(here: Settings) -> None:
    """As the form or the policy says; the record of the run says from which version."""
    start(here, "onward", Wishes(by_hand=True, mode="incremental"))
    for step in ("collect", "validate"):
        steps.run_step(here, "onward", step)
    candidate = steps.run_step(here, "onward", "train")
    tags = connect(here).MlflowClient().get_run(candidate.run_id).data.tags
    assert tags["coalmine.mode"] == "on from version 1"
    runs_of(here).end("onward", "failed", "given up by the test")


def test_a_run_in_one_process_is_held_to_its_limits(
    make_project: Callable[[Path], Settings], commit: Callable[[Path, str], str], tmp_path: Path
) -> None:
    """No step takes a second here; the run may be gone on with."""
    made = make_project(tmp_path / "project")
    (made.project / "bentos" / "toy" / "retraining.yaml").write_text("schema: 1\nlimits: {seconds: 1}\n")
    commit(made.project, "bounds")
    done = call(made, "pipeline", "run", "--run", "short", "--because", "hand")
    assert (done.returncode, "a step took longer than 1 s" in done.stderr) == (75, True), done.stderr
    assert runs_of(made).get("short").ended is None


def test_two_processes_never_work_on_one_run(here: Settings) -> None:
    """A scheduler that lost sight of a step may start it again beside it; the lock ends with its process."""
    start(here, "twice", Wishes(by_hand=True))
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
    code += "print('held', flush=True); time.sleep(300)"
    lock = str(folder_of(here, "twice") / "lock")
    with subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Temporary, match="goes on in another process"):
            steps.run_step(here, "twice", "collect")
        os.kill(other.pid, 9)
    assert steps.run_step(here, "twice", "collect").rows > 0
    runs_of(here).end("twice", "failed", "given up by the test")


def test_a_run_of_uncommitted_changes_never_begins(make_project: Callable[[Path], Settings], tmp_path: Path) -> None:
    """A release names a commit."""
    made = make_project(tmp_path / "project")
    (made.project / "bentos" / "toy" / "gates.yaml").write_text("schema: 1\n")
    with pytest.raises(Refused, match="differs from its commit"):
        start(made, "a", Wishes(by_hand=True))
    assert runs_of(made).count() == 0


def test_what_is_unknown_is_an_error(settings: Settings) -> None:
    """A step, a run, a word."""
    with pytest.raises(BadInput, match="unknown step"):
        steps.run_step(settings, "a", "fly")
    with pytest.raises(BadInput, match="no such run"):
        steps.run_step(settings, "a", "train")
    for words in (("maybe", "", "", "yes"), ("due", "half", "", "yes"), ("due", "", "", "perhaps")):
        with pytest.raises(BadInput, match="unknown word"):
            plans.wishes(*words)
