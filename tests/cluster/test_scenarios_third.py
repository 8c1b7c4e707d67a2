"""What becomes of a third model's releases, beside the first one's in `test_scenarios.py`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from cluster.node.layout import NODE
from cluster.platform import THIRD
from cluster.stage import Stage, until
from cluster.test_scenarios import is_rolled_back
from cluster.traffic import Traffic

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600), pytest.mark.model(THIRD)]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param("delay_ms=400", "slow seconds", id="slow"),
        pytest.param("wrong_rate=1", "thumbs down", id="worse-by-feedback"),
    ],
)
def test_a_worse_release_is_rolled_back_and_everything_put_right(
    stage: Stage, people: Traffic, tell: Callable[[str], None], fault: str, says: str
) -> None:
    is_rolled_back(stage, people, tell, fault=fault, says=says)


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
    primary, release = f"{stage.model}-primary", stage.make(version=1, last=True)
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


def running(stage: Stage, app: str) -> set[str]:
    """The pods of it that are ready and stay."""
    pods = [pod for pod in stage.kubectl.items("pods", f"--selector=app={app}") if is_ready(pod)]
    return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def is_ready(pod: dict[str, Any]) -> bool:
    return any((one["type"], one["status"]) == ("Ready", "True") for one in pod["status"].get("conditions", ()))


def pending(stage: Stage, app: str) -> bool:
    """Whether a pod of it waits for a node."""
    return any(pod["status"]["phase"] == "Pending" for pod in stage.kubectl.items("pods", f"--selector=app={app}"))
