"""What the runtime does on the side, by the process that `up` starts: an alarm that it sees makes a run due."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from coalmine.drift import alarms
from coalmine.drift.health import Health, Signal, Tenant
from coalmine.drift.watch import State
from coalmine.local.parts import parts
from coalmine.pipeline.plan import Wishes, due_now, runs_of, start
from coalmine.settings import Settings
from unit.drift.test_watch import CALM, LOUD
from unit.feedback.filled import a_prediction, log
from unit.pipeline.test_steps import call

pytestmark = pytest.mark.timeout(600)
POLICY = "schema: 1\nwhen: {labels: null, every_hours: null, drift: true, pause_minutes: 0}\n"


@contextmanager
def looking(here: Settings) -> Iterator[None]:
    """The process as `up` supervises it, but with no pause between its looks."""
    line = [sys.executable, "-m", "coalmine.local.looking", "--every", "0.1"]
    line += ["--project", str(here.project), "--state", str(here.state)]
    with subprocess.Popen(line, env=os.environ | {"COALMINE_MODEL": "toy"}, stdout=subprocess.DEVNULL) as child:
        try:
            yield
        finally:
            child.kill()


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 250
    while not what():
        assert time.monotonic() < end
        time.sleep(0.2)


def serve(here: Settings, pool: tuple[str, ...], count: int) -> None:
    rng = random.Random(count)
    log(here, [replace(a_prediction(f"{rng.choice(pool)} {rng.choice(pool)}"), sketch=None) for _ in range(count)])


@pytest.mark.slow
def test_an_alarm_makes_one_run_due(
    make_project: Callable[[Path], Settings], commit: Callable[[Path, str], str], tmp_path: Path
) -> None:
    """Nobody starts a look by hand; the run that it wakes ends the alarm's claim, though the alarm stands on."""
    here = make_project(tmp_path / "project")
    (here.project / "bentos" / "toy" / "retraining.yaml").write_text(POLICY)
    commit(here.project, "drift alone starts a run")
    serve(here, CALM, 650)
    with looking(here):
        wait_for((here.state / "drift" / "metrics.prom").exists)
        assert not due_now(here)
        serve(here, LOUD, 150)
        wait_for(lambda: bool(alarms.load(here.state / "drift")))
    answer = json.loads(call(here, "--json", "pipeline", "due").stdout)
    assert (answer["due"], answer["reason"]) == (True, "drift")
    assert "of default" in answer["why"]
    assert call(here, "pipeline", "start", "--run", "woken").returncode == 0
    assert due_now(here).why == "run woken goes on"
    runs_of(here).end("woken", "no better", "by +0.0000")
    assert alarms.load(here.state / "drift")
    assert not due_now(here)


def test_a_failed_run_leaves_the_alarm_to_the_next(make_project: Callable[[Path], Settings], tmp_path: Path) -> None:
    """What it was to mend is not mended."""
    here = make_project(tmp_path / "project")
    start(here, "woken", Wishes(by_hand=True))
    alarms.keep(here.state / "drift", health(State.ALARM, at=time.time()))
    runs_of(here).end("woken", "failed", "validate: flood")
    found = alarms.raised(here.state / "drift", after=runs_of(here).last_learnt() or 0.0)
    assert found == "input.symbols of default (m1-abcdef1): more of them"


def health(state: State, *, at: float) -> Health:
    alarm_at = 50 if state is State.ALARM else 0
    signal = Signal("input.symbols", state, "more of them", 100, alarm_at, 1.0, 5.0)
    tenant = Tenant("default", "m1-abcdef1", state, "", 600, (signal,))
    return Health(at, "toy", 0.05, state, (tenant,))


def test_an_alarm_keeps_the_time_at_which_it_was_first_seen(tmp_path: Path) -> None:
    """Until it ends; the next one is new."""
    for at, state in ((1.0, State.ALARM), (2.0, State.ALARM)):
        alarms.keep(tmp_path, health(state, at=at))
    assert [one.since for one in alarms.load(tmp_path)] == [1.0]
    alarms.keep(tmp_path, health(State.HEALTHY, at=3.0))
    assert alarms.load(tmp_path) == []
    alarms.keep(tmp_path, health(State.ALARM, at=4.0))
    assert alarms.raised(tmp_path, after=3.5)
    assert not alarms.raised(tmp_path, after=4.0)


@pytest.mark.parametrize(("minutes", "runs"), [(5.0, True), (0.0, False)])
def test_the_runtime_looks_as_often_as_the_settings_say(tmp_path: Path, minutes: float, *, runs: bool) -> None:
    here = Settings(project=tmp_path, state=tmp_path / "state", model="toy", drift_minutes=minutes)
    from coalmine.edge.config import from_settings  # noqa: PLC0415 - here alone

    found = {part.name: part for part in parts(here, from_settings(here, user="", user_salt="s"))}
    assert ("looking" in found) is runs
    if runs:
        assert "300.0" in found["looking"].command
