"""The bench's services and the platform on its node do together what a cluster of one's own does."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from cluster import cache, images
from cluster.kubectl import Kubectl
from cluster.platform import Platform
from cluster.stage import GIT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]  # the first run builds engines and images

HOST = "trial.bench.test"
SERVER = """
import http.server, os
class Say(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        word = os.environ["WORD"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(word)))
        self.end_headers()
        self.wfile.write(word)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), Say).serve_forever()
"""


@pytest.fixture
def namespace(services: Platform, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    name = f"trial-{abs(hash(request.node.name)) % 10**6}"
    labels = {"coalmine.dev/tenant": "true"}  # the gateway lets its routes in
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    services.kubectl.apply(made)
    yield services.kubectl.within(name)
    services.kubectl.delete(made, "--wait=false")


def until(condition: Callable[[], bool], what: str, *, seconds: float = 300.0) -> None:
    """Wait for a condition; the time is a limit to failing runs and no promise."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass that {what}"
        time.sleep(0.5)


def test_a_pod_runs_an_image_that_was_pushed_and_is_named_by_digest_only(
    services: Platform, namespace: Kubectl
) -> None:
    digest = services.registry.push(images.image("debian"), "guest")
    container = {
        "name": "guest",
        "image": f"{services.registry.host}/guest@{digest}",
        "imagePullPolicy": "Always",
        "command": ["sleep", "infinity"],
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    namespace.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guest"}, "spec": spec})
    namespace.wait("pod/guest", "Ready")
    status = namespace.get("pod", "guest")["status"]["containerStatuses"][0]
    assert status["imageID"].endswith(digest)


def test_argo_cd_is_told_of_a_push_and_syncs_it(platform: Platform, namespace: Kubectl, tmp_path: Path) -> None:
    source = {"repoURL": platform.git.url("trial"), "targetRevision": "main", "path": "here"}
    destination = {"server": "https://kubernetes.default.svc", "namespace": namespace.namespace}
    spec = {"project": "default", "source": source, "destination": destination, "syncPolicy": {"automated": {}}}
    name = {"name": namespace.namespace, "namespace": "argocd"}
    application = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": name, "spec": spec}
    with cache.locked(GIT):
        clone = _repository(platform, tmp_path, word="one")
        platform.kubectl.apply(application)
        try:
            until(lambda: _word(namespace) == "one", "Argo CD applies what is in git")
            _commit(platform, clone, word="two")
            until(lambda: _word(namespace) == "two", "Argo CD applies what was pushed", seconds=90)  # polling takes 120
        finally:
            platform.kubectl.delete(application)


def test_a_canary_is_promoted_through_flagger_and_envoy_and_no_request_is_lost(
    platform: Platform, namespace: Kubectl
) -> None:
    images.load([images.PYTHON], ctr=platform.machine.ctr)
    namespace.apply(_deployment("one"))
    namespace.apply(_canary())
    until(lambda: _phase(namespace) == "Initialized", "Flagger has made the primary")
    with Client(platform) as client:
        until(lambda: client.heard["one"] > 0, "the gateway serves the first release")
        client.lost.clear()  # until the route was there nothing was promised
        namespace.apply(_deployment("two"))
        until(lambda: _phase(namespace) == "Succeeded", "the second release is promoted", seconds=600)
        until(lambda: client.last == ["two"] * 20, "the second release alone serves")
    assert client.lost == []
    assert _weights(namespace) == [100, 0]


class Client:
    """Requests through the gateway over TLS, one after the other; counts what it hears and keeps what it loses."""

    def __init__(self, platform: Platform) -> None:
        self.heard: Counter[str] = Counter()
        self.lost: list[str] = []
        self.last: list[str] = []
        label = "gateway.envoyproxy.io/owning-gateway-name=coalmine"
        found = platform.kubectl.within("envoy-gateway-system").items("service", "--selector", label)
        self._url = f"https://{found[0]['spec']['clusterIP']}/"
        self._trust = ssl.create_default_context(cafile=str(platform.authority.certificate))
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(verify=self._trust, trust_env=False, timeout=10) as client:
            while not self._done.wait(0.02):
                try:
                    extensions = {"sni_hostname": HOST}
                    answer = client.get(self._url, headers={"Host": HOST}, extensions=extensions)
                except httpx.TransportError as error:
                    self.lost.append(repr(error))
                    continue
                if answer.status_code != 200:
                    self.lost.append(f"{answer.status_code} {answer.text[:80]}")
                    continue
                self.heard[answer.text] += 1
                self.last = [*self.last, answer.text][-20:]


def _deployment(word: str) -> dict[str, Any]:
    container = {
        "name": "trial",
        "image": images.PYTHON,
        "imagePullPolicy": "Never",
        "command": ["python", "-c", SERVER],
        "env": [{"name": "WORD", "value": word}],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},  # the gateway must stop asking it first
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    template = {"metadata": {"labels": {"app": "trial"}}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": {"app": "trial"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "trial"}, "spec": spec}


def _canary() -> dict[str, Any]:
    service = {
        "port": 8080,
        "hosts": [HOST],
        "gatewayRefs": [
            {"name": "coalmine", "namespace": "coalmine", "group": "gateway.networking.k8s.io", "kind": "Gateway"}
        ],
    }
    spec = {
        "provider": "gatewayapi:v1",
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "trial"},
        "service": service,
        "analysis": {"interval": "10s", "threshold": 2, "stepWeights": [25, 50]},
    }
    return {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "trial"}, "spec": spec}


def _phase(kubectl: Kubectl) -> str:
    return str(kubectl.get("canary", "trial").get("status", {}).get("phase", ""))


def _weights(kubectl: Kubectl) -> list[int]:
    return [backend["weight"] for backend in kubectl.get("httproute", "trial")["spec"]["rules"][0]["backendRefs"]]


def _word(kubectl: Kubectl) -> str:
    found = kubectl.items("configmap", "--field-selector=metadata.name=trial")
    return str(found[0]["data"]["word"]) if found else ""


def _repository(platform: Platform, folder: Path, *, word: str) -> Path:
    platform.git.create("trial")
    clone = folder / "clone"
    _git("init", "--quiet", "-b", "main", str(clone), platform=platform, at=folder)
    (clone / "here").mkdir()
    _commit(platform, clone, word=word)
    return clone


def _commit(platform: Platform, clone: Path, *, word: str) -> None:
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: trial}}\ndata: {{word: {word}}}\n"
    (clone / "here" / "configmap.yaml").write_text(text)
    _git("add", "--all", platform=platform, at=clone)
    _git("commit", "--quiet", "--message", word, platform=platform, at=clone)
    _git("push", "--quiet", "--force", platform.git.url("trial"), "main", platform=platform, at=clone)


def _git(*words: str, platform: Platform, at: Path) -> None:
    who = ["-c", "user.name=trial", "-c", "user.email=trial@bench.test"]
    environment = os.environ | platform.git.environment("trial")
    subprocess.run(["git", *who, *words], cwd=at, env=environment, check=True)
