"""What becomes of releases in a real cluster: git push, Argo CD, Flagger, gateway, judge and closer, with people.

More is told of two other models at the same time, in `test_scenarios_beside.py` and `test_scenarios_third.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cluster.stage import Stage, aged, until
from cluster.traffic import Traffic
from coalmine.local.traffic import LONGEST

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]  # the first run builds engines and images


@pytest.mark.chain
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


@pytest.mark.chain
def test_a_release_with_errors_is_rolled_back_and_everything_put_right(
    stage: Stage, people: Traffic, tell: Callable[[str], None]
) -> None:
    is_rolled_back(stage, people, tell, fault="error_rate=0.1", says="errors")


def is_rolled_back(stage: Stage, people: Traffic, tell: Callable[[str], None], *, fault: str, says: str) -> None:
    """A release with that fault: healed with a commit that `says` why, and everything as it was before."""
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
    assert "quarantine" in stage.refused(release, "--key", str(stage.builder.key("pub")))


@pytest.mark.outage
def test_judge_prometheus_and_gateway_may_go_away_in_turn_and_the_release_is_promoted_all_the_same(
    stage: Stage, people: Traffic
) -> None:
    """While the judge or its data are away the weight does not rise, and nothing is rolled back."""
    before, release, rate = stage.serves(), stage.make(version=1, last=True), people.rate
    people.pace(rate / 5)  # or the release may show all that it must before the second outage
    stage.push(release)
    stage.until_phase("Progressing")
    for namespace, deployment in (("coalmine", "judge"), ("monitoring", "prometheus")):
        if stage.look().phase == "Progressing":
            stage.until_weight(5)
        with gone(stage, namespace, deployment):
            held = stage.look()
            until(lambda held=held: stage.look().failed > held.failed or aged(held, 30), "some ticks pass")  # type: ignore[misc]
            now = stage.look()  # what the judge said last may have ended the steps: then the promotion waits for it
            if now.phase != "WaitingPromotion":
                assert (now.phase, now.weight) == ("Progressing", held.weight)
            assert stage.serves() == before
    people.pace(rate)
    lost = people.stats.lost
    label = "gateway.envoyproxy.io/owning-gateway-name=coalmine"
    stage.platform.kubectl.within("envoy-gateway-system").run("delete", "pods", "--selector", label, "--wait=true")
    stage.until_phase("Succeeded")
    stage.until_settled()
    assert stage.serves() == release
    assert people.seen(release).failed == 0
    assert people.stats.lost - lost <= people.rate * LONGEST  # one proxy only: what it held while it was replaced


def test_a_push_during_a_canary_takes_its_place_and_only_the_faulty_one_is_quarantined(
    stage: Stage, people: Traffic
) -> None:
    before, good, bad = stage.serves(), stage.make(version=1), stage.make(version=1, last=True)
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
