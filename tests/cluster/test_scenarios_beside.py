"""What becomes of a second model's releases, beside the first one's in `test_scenarios.py`."""

from __future__ import annotations

import pytest

from cluster.stage import Stage, aged, until
from cluster.traffic import Traffic
from manifests.tenants import SECOND

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600), pytest.mark.model(SECOND)]


def test_a_release_that_never_becomes_ready_gets_no_request_and_is_taken_back(stage: Stage, people: Traffic) -> None:
    before = stage.serves()
    release = stage.make(version=1)
    stage.push(release, "--fault", "crash_at_start=1")
    stage.until_phase("Progressing")
    stage.until_phase("Failed")
    until(lambda: stage.said()[0].startswith(f"heal: {stage.model} back to {before}"), "main is healed")
    stage.until_settled()
    assert people.seen(release).requests == 0
    assert (people.stats.lost, people.seen(before).failed) == (0, 0)


def test_a_judge_that_is_killed_goes_on_where_it_was_and_rolls_back(stage: Stage, people: Traffic) -> None:
    before = stage.serves()
    release = stage.make(version=1)
    stage.push(release, "--fault", "error_rate=0.04")
    stage.until_phase("Progressing")
    until(lambda: people.seen(release).requests > 10, "people meet it")
    opened = stage.analyses()[0]["id"]
    stage.platform.kubectl.within("coalmine").run(
        "delete", "pod", "--selector", "app=judge", "--grace-period=0", "--force"
    )
    stage.until_phase("Failed")
    until(lambda: stage.analyses()[0]["decision"] == "ROLLBACK", "the judge says what it has decided")
    assert stage.analyses()[0]["id"] == opened
    until(lambda: stage.said()[0].startswith(f"heal: {stage.model} back to {before}"), "main is healed")
    stage.until_settled()


def test_healing_waits_for_a_git_server_that_is_away(stage: Stage, people: Traffic) -> None:
    before = stage.serves()
    release = stage.make(version=1)
    stage.push(release, "--fault", "error_rate=0.2")
    stage.until_phase("Progressing")
    until(lambda: people.seen(release).requests > 0, "people meet it")
    with stage.without_git():
        stage.until_phase("Failed")
        until(lambda: aged(stage.history[-1], 10), "the closer has tried")
    assert stage.said() != [f"heal: {stage.model}"]
    until(lambda: stage.said()[0].startswith(f"heal: {stage.model} back to {before}"), "main is healed")
    stage.until_settled()
    assert len([line for line in stage.said(3) if release in line and line.startswith("heal")]) == 1


def test_an_edit_of_the_live_canary_is_undone(stage: Stage) -> None:
    """Two generations later it is as in git: the edit was one, undoing it the other."""
    before = stage.canary()["metadata"]["generation"]
    change = '{"spec":{"analysis":{"threshold":1}}}'
    stage.kubectl.run("patch", "canary", stage.model, "--type=merge", "--patch", change)
    until(lambda: stage.canary()["metadata"]["generation"] >= before + 2, "the edit is answered")
    until(lambda: stage.canary()["spec"]["analysis"]["threshold"] == 30, "git's word stands again")
    stage.until_settled()


def test_an_image_that_nobody_signed_is_refused_before_main_moves(stage: Stage) -> None:
    release, before = stage.make_unsigned(), stage.said()
    assert "is not signed" in stage.refused(release)
    assert stage.said() == before
