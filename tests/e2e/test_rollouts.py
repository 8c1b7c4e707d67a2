"""What a push leads to: every way in which a canary can end, with real traffic, git, nginx, BentoML and MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from coalmine.local.scene import People
from coalmine.records import Outcome
from e2e.burst import burst
from e2e.runtime import POLICY, Runtime

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("calm")]


@pytest.fixture
def unhurried_bake(runtime: Runtime) -> Iterator[None]:
    """Time enough in the bake for a fault that only the whole load brings out."""
    at = "flagger/sentiment/policy.yaml"
    for seconds in (15, 5):
        runtime.pull()
        runtime.commit(at, POLICY.replace("bake: {seconds: 5}", f"bake: {{seconds: {seconds}}}"), why="another bake")
        runtime.git("push", "--quiet", "coalmine", "HEAD:main")
        if seconds == 15:
            yield


def test_a_good_release_is_promoted_and_nobody_notices(runtime: Runtime, people: People) -> None:
    """Promoted on evidence: primary and alias are the new release's, and not one request failed or was lost."""
    release = runtime.build(2)
    attempt = runtime.push(release)
    ending = runtime.ended(attempt)
    assert (ending.outcome, str(ending.release)) == (Outcome.PROMOTED, release), ending.reason
    assert runtime.rollout()["primary"] == release
    assert runtime.champion() == 2
    assert runtime.named() == release
    seen = people.seen()
    assert (seen["lost"], sum(arm["failed"] for arm in seen["arms"])) == (0, 0)
    assert {arm["arm"] for arm in seen["arms"] if arm["release"] == release} == {"canary", "primary"}
    facts = json.loads(Path(json.loads(runtime.cli("--json", "report", release))["json"]).read_text())
    assert facts["verdict"] == "promoted"


@pytest.mark.parametrize(
    ("fault", "named"),
    [("error_rate=0.3", "errors"), ("delay_ms=400", "slow"), ("wrong_rate=1", "thumbs down")],
    ids=["errors", "latency", "feedback"],
)
def test_a_bad_release_is_rolled_back_and_everything_is_put_right(
    runtime: Runtime, people: People, fault: str, named: str
) -> None:
    """Traffic, git, quarantine and records are put right; the alias was never moved."""
    before, champion = runtime.rollout()["primary"], runtime.champion()
    release = runtime.build(2)
    ending = runtime.ended(runtime.push(release, fault=fault))
    assert ending.outcome == Outcome.ROLLED_BACK, ending.reason
    assert named in ending.reason
    assert runtime.rollout()["primary"] == before
    assert runtime.rollout()["weight"] == 0
    assert runtime.named() == before
    assert ending.reason.split(";")[0] in runtime.message()
    assert runtime.champion() == champion
    quarantine = runtime.ledger.quarantined(runtime.settings.model, ending.release)
    assert quarantine is not None
    assert quarantine.reason == ending.reason
    assert people.seen()["lost"] == 0


def test_a_quarantined_release_needs_forcing(runtime: Runtime, people: People) -> None:
    """Trying it again is refused in the push's own output, with the reason and the remedy; forced, it is tried."""
    assert people.seen() is not None
    release = runtime.build(2)
    runtime.ended(runtime.push(release, fault="error_rate=0.5"))
    refused = runtime.try_cli("release", release)
    assert refused.returncode == 3, refused.stderr
    assert "quarantine" in refused.stderr
    assert "--force" in refused.stderr
    ending = runtime.ended(runtime.push(release, force="the fault was a drill's"))
    assert ending.outcome == Outcome.PROMOTED, ending.reason


def test_healing_works_when_main_has_moved_on(runtime: Runtime, people: People) -> None:
    """Somebody pushes other work during the canary: only the release file goes back, their commit stays."""
    assert people.seen() is not None
    before = runtime.rollout()["primary"]
    release = runtime.build(2)
    attempt = runtime.push(release, fault="error_rate=0.05")
    runtime.canary_at(20)
    runtime.pull()
    runtime.commit("docs/unrelated.md", "work goes on\n", why="unrelated work")
    runtime.git("push", "--quiet", "coalmine", "HEAD:main")
    ending = runtime.ended(attempt)
    assert ending.outcome == Outcome.ROLLED_BACK, ending.reason
    assert runtime.named() == before
    assert runtime.bare.text("refs/heads/main", "docs/unrelated.md") == "work goes on\n"
    assert runtime.bare.run("log", "-2", "--format=%s", "refs/heads/main").splitlines()[1] == "unrelated work"


def test_a_revert_during_a_canary_ends_it_and_is_left_alone(runtime: Runtime, people: People) -> None:
    """A person's `git revert` takes the traffic back; the closer adds no commit of its own."""
    before = runtime.rollout()["primary"]
    release = runtime.build(2)
    attempt = runtime.push(release)
    runtime.canary_at(20)
    runtime.pull()
    runtime.git("revert", "--no-edit", "HEAD")
    runtime.git("push", "--quiet", "coalmine", "HEAD:main")
    theirs = runtime.git("rev-parse", "HEAD")
    ending = runtime.ended(attempt)
    assert ending.outcome == Outcome.SUPERSEDED
    assert (runtime.named(), runtime.main(), runtime.rollout()["primary"]) == (before, theirs, before)
    assert people.seen()["lost"] == 0


def test_a_push_during_a_canary_takes_its_place(runtime: Runtime, people: People) -> None:
    """The first is superseded at weight 0, the second is judged by its own evidence."""
    first, second = runtime.build(2), runtime.build(1)
    attempt = runtime.push(first)
    runtime.canary_at(20)
    later = runtime.push(second, fault="error_rate=0.3")
    assert runtime.ended(attempt).outcome == Outcome.SUPERSEDED
    ending = runtime.ended(later)
    assert (str(ending.release), ending.outcome) == (second, Outcome.ROLLED_BACK), ending.reason
    assert people.seen()["lost"] == 0


@pytest.mark.parametrize("fault", ["crash_at_start=1", "slow_start_s=60"])
def test_a_canary_that_never_becomes_ready_gets_no_traffic(runtime: Runtime, people: People, fault: str) -> None:
    """The progress deadline ends it; main is healed as after any rollback."""
    before = runtime.rollout()["primary"]
    release = runtime.build(2)
    ending = runtime.ended(runtime.push(release, fault=fault))
    assert ending.outcome == Outcome.ROLLED_BACK
    assert "deadline" in ending.reason
    assert runtime.named() == before
    assert runtime.cost(ending).canary_requests == 0
    assert people.seen()["lost"] == 0


@pytest.mark.usefixtures("people", "unhurried_bake")
def test_a_fault_in_the_bake_goes_back_at_once(runtime: Runtime) -> None:
    """It passes as a canary and breaks under the whole load: the old arm is still warm and takes over."""
    before, champion = runtime.rollout()["primary"], runtime.champion()
    release = runtime.build(2)
    attempt = runtime.push(release, fault="crash_under_load=24")
    runtime.wait("the bake", lambda: runtime.rollout().get("bake_left"), seconds=90)

    def gone_back() -> bool:
        burst(runtime.settings, 128)  # each of them kills the promoted arm, as often as it comes back
        return bool(runtime.rollout()["primary"] == before)

    runtime.wait("the old arm", gone_back, seconds=12)
    ending = runtime.ended(attempt)
    assert (ending.outcome, ending.baked) == (Outcome.ROLLED_BACK, True), ending.reason
    assert "errors" in ending.reason
    assert runtime.named() == before
    assert runtime.champion() == champion
    assert runtime.cost(ending).bake_failed > 0
    assert set(burst(runtime.settings, 8)) == {200}
