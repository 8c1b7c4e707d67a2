"""The cluster by `kubectl`, the program that users have: `Kubectl(kubeconfig).apply`, `.get`, `.wait`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kubernetes.client import ApiClient, Configuration, CustomObjectsApi
from kubernetes.client.exceptions import ApiException
from kubernetes.config import load_kube_config
from urllib3.exceptions import HTTPError

from cluster.engines import binary
from coalmine.errors import Broken

# What is asked several times a second while a story goes on: a kubectl each would take more than one processor.
_OFTEN = {
    "application": ("argoproj.io", "v1alpha1", "applications"),
    "canary": ("flagger.app", "v1beta1", "canaries"),
    "deployment": ("apps", "v1", "deployments"),
}

Manifest = Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | Path


@dataclass(frozen=True, slots=True)
class Kubectl:
    """`namespace` is of every command that names none itself. Without a built kubectl the PATH's is taken."""

    kubeconfig: Path
    namespace: str = ""

    def run(self, *words: str, stdin: str | None = None, seconds: float = 300.0) -> str:
        """A command's output. Raises Broken with what it wrote on stderr, or when it takes longer than `seconds`."""
        try:
            done = subprocess.run(
                self.line(*words),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise Broken(f"kubectl {' '.join(words)} took longer than {seconds:.0f} s") from late
        if done.returncode:
            raise Broken(f"kubectl {' '.join(words)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def line(self, *words: str) -> list[str]:
        """The command line, for who starts it by other means."""
        namespace = ["--namespace", self.namespace] if self.namespace else []
        return [program(), "--kubeconfig", str(self.kubeconfig), *namespace, *words]

    def apply(self, manifest: Manifest, *options: str) -> str:
        """Apply server-side: objects, YAML text, a file, or a folder with a kustomization."""
        if isinstance(manifest, Path):
            flag = "-k" if manifest.is_dir() else "-f"
            return self.run("apply", "--server-side", *options, flag, str(manifest))
        return self.run("apply", "--server-side", *options, "-f", "-", stdin=_text(manifest))

    def delete(self, manifest: Manifest, *options: str) -> str:
        """Delete what is there of it, and wait until it is gone."""
        if isinstance(manifest, Path):
            flag = "-k" if manifest.is_dir() else "-f"
            return self.run("delete", "--ignore-not-found", *options, flag, str(manifest))
        return self.run("delete", "--ignore-not-found", *options, "-f", "-", stdin=_text(manifest))

    def get(self, kind: str, name: str = "", *options: str) -> Any:
        """An object, or without a name the list of its kind, as JSON. Raises Broken if it is not there."""
        if name and self.namespace and not options and kind in _OFTEN:
            return self._asked(kind, name)
        return json.loads(self.run("get", kind, *([name] if name else []), *options, "--output=json"))

    def _asked(self, kind: str, name: str) -> Any:
        group, version, plural = _OFTEN[kind]
        client = _client(self.kubeconfig, self.kubeconfig.stat().st_mtime_ns)
        try:
            return client.get_namespaced_custom_object(
                group, version, self.namespace, plural, name, _request_timeout=(3.05, 10.0)
            )
        except (ApiException, HTTPError) as error:
            raise Broken(f"{kind} {self.namespace}/{name}: {error}") from error

    def items(self, kind: str, *options: str) -> list[Any]:
        """The objects of a kind."""
        found: list[Any] = self.get(kind, "", *options)["items"]
        return found

    def wait(self, what: str, condition: str, *options: str, seconds: float = 120.0) -> None:
        """Wait for `condition` (`Ready`, or `jsonpath={.status.phase}=Succeeded`, or `delete`) of `kind/name`.

        Raises Broken when it does not come within `seconds`.
        """
        plain = condition.startswith(("jsonpath=", "delete", "create", "condition="))
        flag = f"--for={condition}" if plain else f"--for=condition={condition}"
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.run("wait", what, flag, f"--timeout={seconds:.0f}s", *options, seconds=seconds + 30)
            except Broken as error:  # what was made just now has no conditions yet: to kubectl a fault
                if "accessor error: <nil>" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def rolled_out(self, what: str, *, seconds: float = 180.0) -> None:
        """Wait until a Deployment, StatefulSet or DaemonSet (`kind/name`) runs as it should. Raises Broken."""
        self.run("rollout", "status", what, f"--timeout={seconds:.0f}s", seconds=seconds + 30)

    def execute(self, pod: str, *command: str, container: str = "") -> str:
        """A command's output in a running pod."""
        where = ["--container", container] if container else []
        return self.run("exec", pod, *where, "--", *command)

    def within(self, namespace: str) -> Kubectl:
        """The same cluster, another namespace."""
        return Kubectl(self.kubeconfig, namespace)


@lru_cache(maxsize=4)
def _client(kubeconfig: Path, written: int) -> CustomObjectsApi:
    """`written`: when the kubeconfig was; a cluster made anew has other certificates."""
    del written
    settings = Configuration()
    load_kube_config(str(kubeconfig), client_configuration=settings)
    settings.proxy, settings.retries = None, 0
    return CustomObjectsApi(ApiClient(settings))


def program() -> str:
    """kubectl: a user's own where a cluster of theirs is used, else the bench's."""
    own = shutil.which("kubectl") if os.environ.get("KUBECONFIG") else None
    return own or str(binary("kubectl"))


def environment() -> dict[str, str]:
    """Ours without proxies, which know nothing of the bench's addresses, and without a user's own cluster."""
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    return {k: v for k, v in os.environ.items() if k.lower() not in proxies and k != "KUBECONFIG"}


def _text(manifest: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str) -> str:
    if isinstance(manifest, str):
        return manifest
    if isinstance(manifest, Mapping):
        return json.dumps(manifest)
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifest)})
