"""What becomes of a second model's releases, beside the first one's in `test_scenarios.py`: the other half."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest

from cluster.node.layout import NODE
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


def test_a_revert_during_a_canary_ends_it_and_nothing_is_quarantined(stage: Stage, people: Traffic) -> None:
    """Flagger ends the canary under the checksum that it had, then sees the other: what serves is promoted again."""
    before, promoted, release = stage.serves(), stage.promoted(), stage.make(version=1)
    commit = stage.push(release)
    stage.until_phase("Progressing")
    until(lambda: people.seen(release).requests > 0, "people meet it")
    stage.revert(commit)
    over = ("Succeeded", "Failed", "Initialized")
    until(lambda: stage.look().phase in over and stage.promoted() == promoted, "Flagger is back where it was")
    stage.until_settled()
    assert stage.serves() == before
    assert "superseded" in [one["outcome"] for one in stage.analyses()[:2]]
    assert stage.builder.git("log", "--grep", f"Coalmine-Failed: {release}", "--format=%h", "origin/main") == ""
    assert (people.stats.lost, people.seen(before).failed) == (0, 0)


def test_a_drained_node_takes_one_pod_at_a_time_and_no_request(stage: Stage, people: Traffic) -> None:
    """The second of two pods stays until the first has a successor, and that one waits for a node that takes pods.

    The bench has one node: it is drained of this model's pods while a canary is on its way, and given back. Pods of the
    other stories wait for it meanwhile.
    """
    primary, release = f"{stage.model}-primary", stage.make(version=1)
    stage.kubectl.run("scale", f"deployment/{primary}", "--replicas=2")
    stage.kubectl.rolled_out(f"deployment/{primary}")
    stage.push(release)
    until(lambda: people.seen(release).requests > 0, "people meet it")
    first = running(stage, primary)
    flags = (f"--pod-selector=app={primary}", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
    with subprocess.Popen(stage.platform.kubectl.line("drain", NODE, *flags)) as draining:
        try:
            until(lambda: len(running(stage, primary) & first) == 1, "one pod has gone")
            until(lambda: pending(stage, primary), "its successor finds no node")
            time.sleep(12)  # two more tries of the drain's and a tick of Flagger's
            assert running(stage, primary) < first
            assert draining.poll() is None
        finally:
            stage.platform.kubectl.run("uncordon", NODE)
        assert draining.wait(300) == 0
    assert running(stage, primary).isdisjoint(first)
    stage.until_phase("Succeeded")
    stage.until_settled()
    assert stage.serves() == release
    assert (people.stats.lost, people.failed) == (0, 0)


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


def running(stage: Stage, app: str) -> set[str]:
    """The pods of it that are ready and stay."""
    pods = [pod for pod in stage.kubectl.items("pods", f"--selector=app={app}") if is_ready(pod)]
    return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def is_ready(pod: dict[str, Any]) -> bool:
    return any((one["type"], one["status"]) == ("Ready", "True") for one in pod["status"].get("conditions", ()))


def pending(stage: Stage, app: str) -> bool:
    """Whether a pod of it waits for a node."""
    return any(pod["status"]["phase"] == "Pending" for pod in stage.kubectl.items("pods", f"--selector=app={app}"))
