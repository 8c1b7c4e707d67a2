"""`coalmine closer` on a real API server with Flagger's own CRD: it reads what Flagger writes, and closes it once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml

from cluster.control import ControlPlane, free_port
from cluster.engines import module
from coalmine.records import ReleaseId
from unit.cluster.histories import M1, M2, M3, Flagger
from unit.cluster.scene import ENV, Forge, Web, analysis, mlflow, web

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]  # the first run builds the API server
CANARIES = "/apis/flagger.app/v1beta1/namespaces/{}/canaries"
ROLE = Path(__file__).parents[2] / "docs" / "explanation" / "closing-in-a-cluster.md"
MERGE = {"Content-Type": "application/merge-patch+json"}


@dataclass
class Cluster:
    """The API server, and Flagger's hand: what a Flagger would write is written here step by step."""

    plane: ControlPlane
    admin: httpx.Client

    def namespace(self, name: str) -> None:
        self.admin.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()

    def show(self, f: Flagger) -> None:
        """Deployments first, as Argo CD and Flagger write them before the status."""
        for name, notes in ((f.name, f.target), (f"{f.name}-primary", f.primary)):
            if notes is not None:
                self._deployment(f.namespace, name, notes)
        at = CANARIES.format(f.namespace)
        if self.admin.get(f"{at}/{f.name}").status_code == 404:
            body = {key: value for key, value in f.canary.items() if key != "status"}
            body["spec"] = {
                "provider": "gatewayapi:v1",
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": f.name},
                "service": {"port": 8443},
                "analysis": {"interval": "10s", "threshold": f.threshold, "stepWeights": [5, 25, 50]},
            }
            self.admin.post(at, json=body).raise_for_status()
        if f.status:
            self.admin.patch(
                f"{at}/{f.name}/status", content=json.dumps({"status": f.status}), headers=MERGE
            ).raise_for_status()

    def _deployment(self, namespace: str, name: str, notes: dict[str, str]) -> None:
        labels = {"app": name}
        template = {
            "metadata": {"labels": labels, "annotations": notes},
            "spec": {"containers": [{"name": "it", "image": "it"}]},
        }
        at = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        body = {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
        if self.admin.get(f"{at}/{name}").status_code == 404:
            self.admin.post(at, json=body).raise_for_status()
        else:
            patch = json.dumps({"spec": {"template": {"metadata": {"annotations": notes}}}})
            self.admin.patch(f"{at}/{name}", content=patch, headers=MERGE).raise_for_status()

    def warn(self, f: Flagger, note: str) -> None:
        """As Flagger's event recorder does (core/v1; the server shows it as events.k8s.io too)."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(f.t))
        body = {
            "metadata": {"generateName": "flagger-"},
            "type": "Warning",
            "reason": "Synced",
            "message": note,
            "involvedObject": {"kind": "Canary", "name": f.name, "namespace": f.namespace},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "source": {"component": "flagger"},
        }
        self.admin.post(f"/api/v1/namespaces/{f.namespace}/events", json=body).raise_for_status()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as plane, plane.client() as admin:
        crd = yaml.safe_load_all((module("flagger") / "artifacts" / "flagger" / "crd.yaml").read_text())
        for one in crd:
            admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=one).raise_for_status()
        for _ in range(300):
            if admin.get("/apis/flagger.app/v1beta1/canaries").status_code == 200:
                break
            time.sleep(0.1)
        yield Cluster(plane, admin)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow(tmp_path_factory.mktemp("mlflow"), "sentiment") as url:
        yield url


@dataclass
class Scene:
    """One namespace with its Canary, a forge, people and a judge, and a closer that may be killed."""

    cluster: Cluster
    folder: Path
    forge: Forge
    people: Web
    judge: Web
    flagger: Flagger
    registry: str
    port: int = field(default_factory=free_port)
    running: subprocess.Popen[bytes] | None = None
    more: tuple[str, ...] = ()

    def line(self, *more: str) -> list[str]:
        """The command, as a pod runs it."""
        given = {
            "git": self.forge.bare.path, "state": self.folder / "state", "judge": self.judge.url, "env": ENV,
            "mlflow": self.registry, "namespaces": self.flagger.namespace, "notify": self.folder / "secrets",
            "host": "127.0.0.1", "port": self.port, "poll": 2, "grace": 3,
        }  # fmt: skip
        flags = [part for name, value in given.items() for part in (f"--{name}", str(value))]
        return [sys.executable, "-m", "coalmine.cli", "closer", *flags, *self.more, *more]

    @property
    def environ(self) -> dict[str, str]:
        return os.environ | {"KUBECONFIG": str(self.cluster.plane.kubeconfig)}

    def begin(self, *more: str) -> None:
        with (self.folder / "closer.log").open("ab") as log:
            self.running = subprocess.Popen(self.line(*more), env=self.environ, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.running is not None:
            self.running.send_signal(signal.SIGKILL)
            self.running.wait()
            self.running = None

    def once(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.line("--once"), env=self.environ, capture_output=True, text=True, timeout=120, check=False
        )

    def push(self, release: ReleaseId) -> None:
        """A person's push, and Argo CD's sync of it."""
        self.forge.follow()
        self.forge.release(release)
        self.flagger.push(release)
        self.cluster.show(self.flagger)

    def play(self, *steps: Callable[[], object]) -> None:
        """Flagger's writes, one by one."""
        for step in steps:
            step()
            self.cluster.show(self.flagger)

    def ticked(self) -> Self:
        """After one more of Flagger's ticks on a failed Canary."""
        self.play(self.flagger.resync)
        return self

    def champion(self) -> str:
        reply = httpx.get(
            f"{self.registry}/api/2.0/mlflow/registered-models/alias", params={"name": "sentiment", "alias": "champion"}
        )
        return str(reply.json().get("model_version", {}).get("version", ""))

    def until(self, what: Callable[[], bool], told: str) -> None:
        for _ in range(600):
            if what():
                return
            time.sleep(0.1)
        pytest.fail(f"{told}\n{(self.folder / 'closer.log').read_text()[-4000:]}")


@pytest.fixture
def scene(cluster: Cluster, registry: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    namespace = f"t{abs(hash(request.node.name)) % 10**8}"
    cluster.namespace(namespace)
    forge = Forge.at(tmp_path)
    forge.release(M1)
    flagger = Flagger(t=time.time() - 600, interval=1.0, namespace=namespace)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with web(lambda _: (202, {})) as people, web(lambda _: (200, [])) as judge:
        (secrets / "slack-url").write_text(f"{people.url}/slack")
        (secrets / "pagerduty-url").write_text(f"{people.url}/pagerduty")
        (secrets / "pagerduty-key").write_text("key")
        made = Scene(cluster, tmp_path, forge, people, judge, flagger, registry)
        made.play(lambda: flagger.push(M1), flagger.initializing, flagger.initialized)
        try:
            yield made
        finally:
            made.kill()


def verdict(scene: Scene, **changed: Any) -> None:
    """What the judge has on record of the canary that runs."""
    shown = analysis("canary", scene.flagger.t - 5, namespace=scene.flagger.namespace, **changed)
    scene.judge.answer = lambda at: (200, [shown]) if at.endswith("/analyses") else (404, {})


def test_the_whole_story_is_followed_as_it_happens(scene: Scene) -> None:
    """A first release, a good one, a bad one: champion, main and people agree, and a metric counts each end."""
    f = scene.flagger
    scene.begin()
    scene.until(lambda: scene.champion() == "1", "the first release has no alias")
    scene.push(M2)
    verdict(scene, outcome="promoted", decision="PROMOTE", reason="no worse")
    scene.play(f.progressing, lambda: f.weight(25), f.promoting, f.finalising, f.succeeded)
    scene.until(lambda: scene.champion() == "2", "the alias did not move")
    scene.push(M3)
    verdict(scene)
    scene.play(f.progressing, lambda: f.weight(25), f.failed)
    scene.until(lambda: str(M2) in scene.forge.named(), "main was not healed")
    scene.until(lambda: len(scene.people.keys("/pagerduty")) == 1, "nobody was woken")
    scene.play(lambda: f.push(M2), f.resync, f.resync)
    scene.until(lambda: len(scene.people.keys("/slack")) == 3, "the channel did not hear of each")
    assert scene.champion() == "2"
    assert scene.forge.heals() == 1
    said = httpx.get(f"http://127.0.0.1:{scene.port}/metrics").text
    labels = f'name="sentiment",namespace="{f.namespace}"'
    for outcome in ("first_release", "promoted", "rolled_back"):
        assert f'coalmine_closer_ends_total{{{labels},outcome="{outcome}"}} 1.0' in said
    assert httpx.get(f"http://127.0.0.1:{scene.port}/readyz").status_code == 200


def test_a_closer_that_is_killed_again_and_again_closes_each_attempt_once(scene: Scene) -> None:
    """One heal commit and one incident, with a kill after each of Flagger's writes and in the midst of each closing."""
    f = scene.flagger
    assert scene.once().returncode == 0  # the first release
    for failures, release in enumerate((M2, M3), start=1):
        scene.push(release)
        verdict(scene)
        steps: list[Callable[[], object]] = [f.progressing, lambda: f.weight(5), lambda: f.weight(25), f.failed]
        for number, step in enumerate(steps):
            scene.play(step)
            scene.begin()
            time.sleep(1.5 + 0.7 * number)  # into its start, its first look, its closing
            scene.kill()
        for pause in (1.7, 2.1, 2.5, 2.9, 3.3):
            scene.play(f.resync)  # as each of Flagger's ticks does; whoever missed the start learns whose failure it is
            scene.begin()
            time.sleep(pause)
            scene.kill()
        scene.begin()  # on a busy machine none of them may have lived to see a tick
        scene.until(lambda count=failures: scene.ticked().forge.heals() == count, "main is healed")  # type: ignore[misc]
        scene.kill()
        assert scene.once().returncode == 0
        f.push(M1)
        scene.play(f.resync)
    assert scene.forge.heals() == 2
    assert len(set(scene.people.keys("/pagerduty"))) == 2
    assert len(scene.people.keys("/pagerduty")) <= 3
    assert scene.champion() == "1"
    assert str(M1) in scene.forge.named()


def test_once_does_what_is_due_and_ends(scene: Scene) -> None:
    f = scene.flagger
    first = scene.once()
    assert (first.returncode, "first_release" in first.stdout) == (0, True), first.stderr
    assert scene.once().stdout == "nothing ended\n"
    scene.push(M2)
    scene.play(f.progressing)
    assert scene.once().stdout == "nothing ended\n"
    scene.play(f.failed)
    scene.cluster.warn(f, 'deployment "sentiment" exceeded its progress deadline')
    away = scene.forge.bare.path.with_name("away")
    scene.forge.bare.path.rename(away)
    assert scene.once().returncode == 75
    away.rename(scene.forge.bare.path)
    done = scene.once()
    assert 'rolled back by Flagger: "deployment "sentiment" exceeded its progress deadline"' in done.stdout
    assert str(M1) in scene.forge.named()


def test_of_two_closers_one_acts_and_the_other_takes_over(scene: Scene) -> None:
    f = scene.flagger
    scene.more = ("--lease", f"{f.namespace}/closer")
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{f.namespace}/leases/closer"
    scene.begin()
    scene.until(lambda: scene.cluster.admin.get(lease).status_code == 200, "nobody acts")
    holder = scene.cluster.admin.get(lease).json()["spec"]["holderIdentity"]
    standby = replace(scene, port=free_port(), running=None)
    standby.begin()
    try:
        scene.kill()
        scene.push(M2)
        verdict(scene)
        scene.play(f.progressing, f.failed)

        def healed() -> bool:
            scene.play(f.resync)  # Flagger's ticks: the successor missed the start, and waits for one
            return scene.forge.heals() == 1

        scene.until(healed, "nobody took over")
        assert scene.cluster.admin.get(lease).json()["spec"]["holderIdentity"] != holder
    finally:
        standby.kill()


def test_the_documented_role_is_enough_and_no_more_is_asked_for(scene: Scene) -> None:
    """As a service account with the rights that the documentation gives, and no others."""
    f, api = scene.flagger, scene.cluster.admin
    text = ROLE.read_text(encoding="utf-8")
    (role,) = [block for block in text.split("```yaml\n")[1:] if block.startswith("apiVersion: rbac")]
    rules = yaml.safe_load(role.partition("```")[0])["rules"]
    assert {verb for rule in rules for verb in rule["verbs"] if rule["resources"] != ["leases"]} <= {
        "get", "list", "watch"
    }  # fmt: skip
    at = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{f.namespace}"
    api.post(f"/api/v1/namespaces/{f.namespace}/serviceaccounts", json={"metadata": {"name": "closer"}})
    api.post(f"{at}/roles", json={"metadata": {"name": "closer"}, "rules": rules}).raise_for_status()
    subject = {"kind": "ServiceAccount", "name": "closer", "namespace": f.namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "closer"}
    binding = {"metadata": {"name": "closer"}, "subjects": [subject], "roleRef": reference}
    api.post(f"{at}/rolebindings", json=binding).raise_for_status()
    asked = api.post(f"/api/v1/namespaces/{f.namespace}/serviceaccounts/closer/token", json={"spec": {}})
    config = yaml.safe_load(scene.cluster.plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": asked.json()["status"]["token"]}
    (scene.folder / "kubeconfig").write_text(yaml.safe_dump(config))
    scene.more = ("--lease", f"{f.namespace}/closer")
    environ = os.environ | {"KUBECONFIG": str(scene.folder / "kubeconfig")}
    done = subprocess.run(scene.line("--once"), env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    elsewhere = scene.line("--once", "--namespaces", "default", "--lease", "")
    refused = subprocess.run(elsewhere, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert (refused.returncode, "403" in refused.stderr) == (2, True)
    assert "Traceback" not in refused.stderr
