"""SIGKILL of any process at any moment: the rollout goes on where it was; nothing is counted or healed twice."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from coalmine.local import process, up
from coalmine.local.controller import run_folder
from coalmine.local.scene import People
from coalmine.records import Ending, Outcome
from coalmine.release.git import MAIN
from e2e.runtime import Runtime

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("calm")]


def test_no_kill_but_the_edges_or_an_arms_costs_anyone_anything(runtime: Runtime, people: People) -> None:
    """Controller (at the push, mid-canary, in the bake), judge, feedback, MLflow, spare: one attempt, no loss."""
    release = runtime.build(2)
    attempt = _push_and_kill_the_controller(runtime, release)
    runtime.cli("up", "-d")
    runtime.canary_at(20)
    runtime.kill("controller")
    weight = runtime.weight()
    runtime.cli("up", "-d")
    assert runtime.attempt() == attempt
    assert 0 < weight <= runtime.weight()
    for name in ("judge", "spare", "feedback", "mlflow"):
        _kill_and_wait(runtime, name)
    runtime.wait("the bake", lambda: runtime.rollout().get("bake_left"), seconds=90)
    runtime.kill("controller")
    runtime.cli("up", "-d")
    ending = runtime.ended(attempt)
    assert (ending.outcome, str(ending.release)) == (Outcome.PROMOTED, release), ending.reason
    _assert_one_story(runtime, ending)
    seen = people.seen()
    assert (seen["lost"], sum(arm["failed"] for arm in seen["arms"])) == (0, 0)


def test_a_kill_at_the_verdict_heals_once(runtime: Runtime, people: People) -> None:
    """nginx dies mid-canary and is back in seconds; the controller dies between verdict and healing: healed once."""
    release = runtime.build(2)
    attempt = runtime.push(release, fault="error_rate=0.15")
    runtime.canary_at(20)
    _kill_and_wait(runtime, "nginx")
    down = _seconds_until_served(runtime)
    assert down < 10, f"{down:.1f} s without an edge"
    _at_once(lambda: runtime.store.endings(runtime.settings.model, after=attempt - 1))
    runtime.kill("controller")
    assert runtime.rollout()["attempt"] == attempt
    runtime.cli("up", "-d")
    ending = runtime.ended(attempt)
    assert ending.outcome == Outcome.ROLLED_BACK, ending.reason
    assert "errors" in ending.reason
    _assert_one_story(runtime, ending)
    assert people.seen()["lost"] < 80 * (down + 2)


def test_a_dead_primary_holds_the_rollout_and_a_power_cut_only_delays_it(runtime: Runtime, people: People) -> None:
    """The primary's requests fail until the spare takes over, no longer; after kill -9 of all, `up` goes on."""
    assert people.seen() is not None
    release = runtime.unused()
    attempt = runtime.push(release)
    runtime.canary_at(20)
    primary = runtime.rollout()["split"]["primary_slot"]
    runtime.kill(f"arm-{primary}")
    runtime.wait("the rollout holds", lambda: "the primary is" in runtime.rollout()["waiting_for"], seconds=10)
    down = _seconds_until_served(runtime)
    assert down < 20, f"{down:.1f} s without a primary"
    assert runtime.attempt() == attempt
    runtime.wait("it goes on", lambda: "the primary is" not in runtime.rollout()["waiting_for"], seconds=20)
    weight = _power_cut(runtime)
    runtime.cli("up", "-d")
    assert (runtime.attempt(), runtime.weight() >= weight > 0) == (attempt, True)
    ending = runtime.ended(attempt)
    assert (ending.outcome, str(ending.release)) == (Outcome.PROMOTED, release), ending.reason
    _assert_one_story(runtime, ending)


def test_a_canary_that_keeps_dying_goes_back_and_the_primary_notices_nothing(runtime: Runtime, people: People) -> None:
    """Its failed requests are evidence like any other; those of the primary are answered all along."""
    before, release = runtime.rollout()["primary"], runtime.unused()
    attempt = runtime.push(release)
    runtime.canary_at(20)
    slot = "green" if runtime.rollout()["split"]["primary_slot"] == "blue" else "blue"

    def dead_again() -> bool:
        record = process.read(run_folder(runtime.settings), f"arm-{slot}")
        if runtime.rollout()["weight"] and record is not None and process.alive(record):
            os.kill(record.pid, 9)
        return bool(runtime.store.endings(runtime.settings.model, after=attempt - 1))

    runtime.wait("the verdict", dead_again, seconds=60)
    ending = runtime.ended(attempt)
    assert ending.outcome == Outcome.ROLLED_BACK, ending.reason
    assert "errors" in ending.reason
    _assert_one_story(runtime, ending)
    seen = people.seen()
    failed = {arm["release"]: arm["failed"] for arm in seen["arms"] if arm["arm"] == "primary"}
    assert (seen["lost"], failed[before]) == (0, 0)


# ---- killing ------------------------------------------------------------------------------------------------------


def _at_once(ready: Any, *, seconds: float = 90) -> None:
    """As `Runtime.wait`, but within milliseconds of the moment."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.003)


def _push_and_kill_the_controller(runtime: Runtime, release: str) -> int:
    main = Path(runtime.settings.bare_repository, MAIN)
    before = main.read_text()
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(runtime.push, release)
        _at_once(lambda: main.read_text() != before)
        runtime.kill("controller")
        return pushing.result()


def _kill_and_wait(runtime: Runtime, name: str) -> None:
    dead = runtime.kill(name)

    def back() -> bool:
        record = process.read(run_folder(runtime.settings), name)
        return record is not None and record.pid != dead.pid and process.alive(record)

    runtime.wait(f"{name} again", back, seconds=30)


def _power_cut(runtime: Runtime) -> int:
    """kill -9 of every recorded process; what remains is what nobody recorded, such as nginx's workers."""
    names = (up.CONTROLLER, *up.ORDER)
    records = [process.read(run_folder(runtime.settings), name) for name in names]
    for record in records:
        if record is not None and process.alive(record):
            os.kill(record.pid, 9)
    runtime.wait("silence", lambda: not any(map(process.alive, records)), seconds=10)
    return runtime.weight()


def _seconds_until_served(runtime: Runtime) -> float:
    """Until twenty requests in a row are answered well, each over a connection of its own."""
    began, last_bad, good = time.monotonic(), time.monotonic(), 0
    while good < 20:
        assert time.monotonic() < began + 60, "not served for a minute"
        try:
            with runtime.client() as client:
                good = good + 1 if client.post("/predict", json={"text": "a fine day"}).status_code == 200 else 0
        except httpx.HTTPError:
            good = 0
        if not good:
            last_bad = time.monotonic()
            time.sleep(0.05)
    return last_bad - began


# ---- what is left behind ------------------------------------------------------------------------------------------


def _assert_one_story(runtime: Runtime, ending: Ending) -> None:
    """Journal, ledger, git, alias and serving agree, each thing happened once, and the judge counted each line once."""
    model, number = runtime.settings.model, ending.attempt
    assert [e for e in runtime.store.endings(model) if e.attempt == number] == [ending]
    assert [e.outcome for e in runtime.ledger.closings(model) if e.attempt == number] == [ending.outcome]
    healed = runtime.bare.run("log", "--format=%H", f"--grep=^Coalmine-Attempt: {number}$", MAIN).split()
    assert len(healed) == (ending.outcome == Outcome.ROLLED_BACK)
    assert ending.primary is not None
    assert (runtime.named(), runtime.rollout()["primary"]) == (str(ending.primary), str(ending.primary))
    assert runtime.ledger.primary(model) == ending.primary
    assert runtime.champion() == ending.primary.version
    _assert_counts(runtime, ending)


def _assert_counts(runtime: Runtime, ending: Ending) -> None:
    url = f"{runtime.settings.judge_url}/api/v1/analyses"
    found = [a for a in httpx.get(url).json() if a["release"] == str(ending.release) and a["started"] > ending.started]
    assert len(found) == 1, [(a["id"], a["attempt"]) for a in found]
    polls = httpx.get(f"{url}/{found[0]['id']}/polls").json()
    polled = sum(poll["n_c"] for poll in polls if poll["metric"] == "errors" and poll["step"] > 0)
    counted, logged = found[0]["canary_requests"], _canary_lines(runtime, ending)
    cost = runtime.cost(ending).canary_requests
    assert cost == logged
    if ending.outcome == Outcome.PROMOTED:
        assert (polled, counted) == (logged, logged)
    else:  # what is in flight at the verdict is logged after the analysis has closed
        assert polled <= counted <= logged <= counted + 20, (polled, counted, logged)


def _canary_lines(runtime: Runtime, ending: Ending) -> int:
    rows = (json.loads(line) for line in runtime.settings.access_log.read_text().splitlines())
    wanted = ("canary", str(ending.release))
    return sum((row["arm"], row["release"]) == wanted and row["t"] > ending.started for row in rows)
