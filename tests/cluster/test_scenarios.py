"""What becomes of releases in a real cluster: git push, Argo CD, Flagger, gateway, judge and closer, with people."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster.node.layout import NODE
from cluster.stage import Moment, Stage, until
from cluster.traffic import Traffic
from coalmine.local.traffic import LONGEST
from manifests.tenants import SECOND

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]  # the first run builds engines and images
second = pytest.mark.model(SECOND)


def test_a_good_release_is_promoted_and_nobody_notices(
    stage: Stage, people: Traffic, tell: Callable[[str], None]
) -> None:
    release = stage.make()
    version = release.removeprefix("m").partition("-")[0]
    stage.push(release)
    pushed = time.time()
    until(lambda: people.seen(release).requests > 0, "people meet it")
    tell(f"push to the first request at the canary: {time.time() - pushed:.1f} s (interval 10 s)")
    stage.until_phase("Succeeded")
    tell(f"push to promoted: {time.time() - pushed:.0f} s; requests {people.total}, lost {people.stats.lost}")
    until(lambda: stage.champion() == version, "the alias names the promoted version")
    stage.until_settled()
    assert stage.serves() == release
    assert stage.said() == [f"release {stage.model} {release}"]
    assert (people.stats.lost, people.stats.refused, people.seen(release).failed) == (0, 0, 0)
    assert stage.analyses()[0]["decision"] == "PROMOTE"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param("error_rate=0.1", "errors", id="errors"),
        pytest.param("delay_ms=400", "slow seconds", id="slow", marks=second),
        pytest.param("wrong_rate=1", "thumbs down", id="worse-by-feedback"),
    ],
)
def test_a_worse_release_is_rolled_back_and_everything_put_right(
    stage: Stage, people: Traffic, tell: Callable[[str], None], fault: str, says: str
) -> None:
    before, champion = stage.serves(), stage.champion()
    release = stage.make(version=1)
    stage.push(release, "--fault", fault)
    stage.until_phase("Progressing")
    stage.until_phase("Failed")
    until(lambda: stage.said()[0].startswith(f"heal: {stage.model} back to {before}"), "main is healed")
    stage.until_settled()
    away = stage.since_failed() - stage.analyses()[0]["decided"]
    tell(f"{fault}: ROLLBACK to weight 0: {away:.1f} s (interval 10 s); {people.told(release)}")
    assert says in stage.said()[0]
    assert (stage.serves(), stage.champion()) == (before, champion)
    assert (people.stats.lost, people.seen(before).failed) == (0, 0)
    assert stage.look().weight == 0
    refused = stage.builder.release(release, "--key", str(stage.builder.key("pub")), code=3)
    assert "quarantine" in refused["said"]


@second
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


@pytest.mark.outage
def test_judge_prometheus_and_gateway_may_go_away_in_turn_and_the_release_is_promoted_all_the_same(
    stage: Stage, people: Traffic
) -> None:
    """While the judge or its data are away the weight does not rise, and nothing is rolled back."""
    release = stage.make(version=1)
    stage.push(release)
    stage.until_phase("Progressing")
    for namespace, deployment in (("coalmine", "judge"), ("monitoring", "prometheus")):
        stage.until_weight(5)
        with gone(stage, namespace, deployment):
            held = stage.look()
            until(lambda held=held: stage.look().failed > held.failed or aged(held, 30), "some ticks pass")  # type: ignore[misc]
            assert (stage.look().phase, stage.look().weight) == ("Progressing", held.weight)
    lost = people.stats.lost
    label = "gateway.envoyproxy.io/owning-gateway-name=coalmine"
    stage.platform.kubectl.within("envoy-gateway-system").run("delete", "pods", "--selector", label, "--wait=true")
    stage.until_phase("Succeeded")
    stage.until_settled()
    assert stage.serves() == release
    assert people.seen(release).failed == 0
    assert people.stats.lost - lost <= people.rate * LONGEST  # one proxy only: what it held while it was replaced


@second
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


@second
@pytest.mark.outage
def test_healing_waits_for_a_git_server_that_is_away(stage: Stage, people: Traffic) -> None:
    before = stage.serves()
    release = stage.make(version=1)
    stage.push(release, "--fault", "error_rate=0.2")
    stage.until_phase("Progressing")
    until(lambda: people.seen(release).requests > 0, "people meet it")
    stage.platform.git.stop()
    try:
        stage.until_phase("Failed")
        until(lambda: aged(stage.history[-1], 10), "the closer has tried")
    finally:
        stage.platform.git.start()
    assert stage.said() != [f"heal: {stage.model}"]
    until(lambda: stage.said()[0].startswith(f"heal: {stage.model} back to {before}"), "main is healed")
    stage.until_settled()
    assert len([line for line in stage.said(3) if release in line and line.startswith("heal")]) == 1


def test_a_push_during_a_canary_takes_its_place_and_only_the_faulty_one_is_quarantined(
    stage: Stage, people: Traffic
) -> None:
    before, good, bad = stage.serves(), stage.make(version=1), stage.make(version=1)
    stage.push(good)
    stage.until_phase("Progressing")
    until(lambda: people.seen(good).requests > 0, "people meet the first")
    stage.push(bad, "--fault", "error_rate=0.3")
    until(lambda: people.seen(bad).requests > 0, "people meet the second")
    stage.until_phase("Failed")
    until(lambda: stage.said()[0].startswith(f"heal: {stage.model} back to {before}"), "main is healed")
    stage.until_settled()
    assert bad in stage.said()[0]
    assert stage.analyses()[1]["outcome"] == "superseded"
    assert stage.builder.git("log", "--grep", f"Coalmine-Failed: {good}", "--format=%h", "origin/main") == ""
    assert stage.serves() == before


@second
def test_a_revert_during_a_canary_ends_it_and_nothing_is_quarantined(stage: Stage, people: Traffic) -> None:
    """Flagger ends the canary under the checksum that it had, then sees the other: what serves is promoted again."""
    before, promoted, release = stage.serves(), stage.promoted(), stage.make(version=1)
    commit = stage.push(release)
    stage.until_phase("Progressing")
    until(lambda: people.seen(release).requests > 0, "people meet it")
    stage.builder.git("pull", "--quiet", "--rebase", "origin", "main")
    stage.builder.git("revert", "--no-edit", commit)
    stage.builder.git("push", "--quiet", "origin", "HEAD:main")
    over = ("Succeeded", "Failed", "Initialized")
    until(lambda: stage.look().phase in over and stage.promoted() == promoted, "Flagger is back where it was")
    stage.until_settled()
    assert stage.serves() == before
    assert "superseded" in [one["outcome"] for one in stage.analyses()[:2]]
    assert stage.builder.git("log", "--grep", f"Coalmine-Failed: {release}", "--format=%h", "origin/main") == ""
    assert (people.stats.lost, people.seen(before).failed) == (0, 0)


@second
@pytest.mark.outage
def test_a_drained_node_takes_one_pod_at_a_time_and_no_request(stage: Stage, people: Traffic) -> None:
    """The second of two pods stays until the first has a successor, and that one waits for a node that takes pods.

    The bench has one node: it is drained of this model's pods while a canary is on its way, and given back.
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


def test_a_tenants_application_makes_nothing_in_anothers_namespace(stage: Stage) -> None:
    """Whatever its repository asks for: the project of the tenant names one namespace."""
    found = stage.application()
    spec = found["spec"] | {"destination": found["spec"]["destination"] | {"namespace": "coalmine"}}
    name = {"name": "reaching", "namespace": "argocd"}
    reaching = {"apiVersion": found["apiVersion"], "kind": "Application", "metadata": name, "spec": spec}
    argocd = stage.platform.kubectl.within("argocd")
    argocd.apply(reaching)
    try:
        until(lambda: "conditions" in argocd.get("application", "reaching")["status"], "Argo CD says something of it")
        told = argocd.get("application", "reaching")["status"]["conditions"]
        assert any("do not match any of the allowed destinations" in one["message"] for one in told), told
    finally:
        argocd.delete(reaching)


@second
def test_an_edit_of_the_live_canary_is_undone(stage: Stage) -> None:
    """Two generations later it is as in git: the edit was one, undoing it the other."""
    before = stage.canary()["metadata"]["generation"]
    change = '{"spec":{"analysis":{"threshold":1}}}'
    stage.kubectl.run("patch", "canary", stage.model, "--type=merge", "--patch", change)
    until(lambda: stage.canary()["metadata"]["generation"] >= before + 2, "the edit is answered")
    until(lambda: stage.canary()["spec"]["analysis"]["threshold"] == 30, "git's word stands again")
    stage.until_settled()


@second
def test_an_image_that_nobody_signed_is_refused_before_main_moves(stage: Stage) -> None:
    release, before = stage.make_unsigned(), stage.said()
    refused = stage.builder.release(release, code=3)
    assert "is not signed" in refused["said"]
    assert stage.said() == before


@contextmanager
def gone(stage: Stage, namespace: str, deployment: str) -> Iterator[None]:
    """No pods of it meanwhile."""
    kubectl = stage.platform.kubectl.within(namespace)
    kubectl.run("scale", f"deployment/{deployment}", "--replicas=0")
    kubectl.run("wait", "pods", f"--selector=app={deployment}", "--for=delete", "--timeout=90s")
    try:
        yield
    finally:
        kubectl.run("scale", f"deployment/{deployment}", "--replicas=1")
        kubectl.rolled_out(f"deployment/{deployment}")


def running(stage: Stage, app: str) -> set[str]:
    """The pods of it that are ready and stay."""
    pods = [pod for pod in stage.kubectl.items("pods", f"--selector=app={app}") if is_ready(pod)]
    return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def is_ready(pod: dict[str, Any]) -> bool:
    return any((one["type"], one["status"]) == ("Ready", "True") for one in pod["status"].get("conditions", ()))


def pending(stage: Stage, app: str) -> bool:
    """Whether a pod of it waits for a node."""
    return any(pod["status"]["phase"] == "Pending" for pod in stage.kubectl.items("pods", f"--selector=app={app}"))


def aged(moment: Moment, seconds: float) -> bool:
    return time.time() - moment.t > seconds
