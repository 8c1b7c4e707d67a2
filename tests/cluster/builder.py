"""Who makes releases for the bench's cluster: a clone of its repository, a key, and the commands that a person types.

It trains, registers in the cluster's own MLflow, packages, builds, pushes, lists, signs and releases. Steps that were
done stay done: the state folder and the registry remember.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cluster import project_images
from cluster.control import free_port
from cluster.platform import Platform
from coalmine.errors import Broken

USER = "builder"
ENVIRONMENT = "bench"


@dataclass(frozen=True, slots=True)
class Builder:
    """One model's. `tracking`: where the cluster's MLflow is reached from here; `desk`: which clone of main it has."""

    platform: Platform
    model: str
    tracking: str
    desk: str = "clone"

    @property
    def folder(self) -> Path:
        return self.platform.machine.layout.folder / "builder" / self.model

    @property
    def clone(self) -> Path:
        return self.folder / self.desk

    def prepare(self) -> None:
        """A clone of main as the git server has it; a pair of keys, one for all models."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.clone.exists():
            self.git("clone", "--quiet", self.platform.git.url(), str(self.clone), at=self.folder)
            who = {"user.name": "A Person", "user.email": "person@example.org"}
            for name, value in {**self.platform.git.configuration(USER), **who}.items():
                self.git("config", name, value)
        self.git("pull", "--quiet", "--rebase", "origin", "main")
        (self.clone / ".git/info/exclude").write_text("/coalmine.toml\n")  # where MLflow is: nobody else's business
        (self.clone / "coalmine.toml").write_text(f'model = "{self.model}"\nmlflow_uri = "{self.tracking}"\n')
        if not self.key("pub").exists():
            make = ["cosign", "generate-key-pair", "--output-key-prefix", str(self.key("pub").with_suffix(""))]
            subprocess.run(make, env=self._environment(), check=True, capture_output=True)

    def key(self, half: str) -> Path:
        """Of the pair that images are signed with: `key` or `pub`."""
        return self.folder.parent / f"cosign.{half}"

    def train(self) -> str:
        """A new version of the model, from data to Bento; returns the release's id."""
        self.run("retrain", "--no-votes")
        return self._newest()

    def package(self, version: int) -> str:
        """The same version again from a newer commit: another release of the same model."""
        self.git("commit", "--quiet", "--allow-empty", "--message", "Something changed")
        self.run("package", str(version))
        return self._newest()

    def image(self, release: str) -> str:
        """Build, push and sign the image; returns its name by digest."""
        made = self.unsigned(release)
        self.run("image", "sign", release, "--key", str(self.key("key")))
        return made

    def unsigned(self, release: str) -> str:
        """Build and push only."""
        self.run("image", "build", release)
        return str(self.run("image", "push", release, "--registry", self.platform.registry.direct)["name"])

    def release(self, release: str, *more: str, code: int = 0) -> dict[str, Any]:
        """Push the commit that names the release; what the command said."""
        return self.run("release", release, "--env", ENVIRONMENT, *more, code=code)

    def git(self, *words: str, at: Path | None = None) -> str:
        """Raises Broken with what git says."""
        done = subprocess.run(
            ["git", *words], cwd=at or self.clone, env=self._environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Broken(f"git {words[0]}: {done.stderr.strip()[-2000:]}")
        return done.stdout.strip()

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        """`coalmine --json <words>` in the clone: what it printed. Raises Broken where it ends otherwise."""
        where = ["--project", str(self.clone), "--state", str(self.folder / "state")]
        line = [sys.executable, "-m", "coalmine.cli", "--json", *where, *words]
        done = subprocess.run(line, env=self._environment(), capture_output=True, text=True, check=False)
        if done.returncode != code:
            raise Broken(f"coalmine {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return dict(json.loads(done.stdout)) if code == 0 else {"said": done.stdout + done.stderr}

    def _newest(self) -> str:
        folder = self.folder / "state" / "bentoml" / "bentos" / self.model
        return max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime).name

    def _environment(self) -> dict[str, str]:
        own = {"SSL_CERT_FILE": str(self.platform.authority.certificate)}
        return project_images.environment() | self.platform.git.environment(USER) | own


@contextmanager
def tracking(platform: Platform) -> Iterator[str]:
    """The cluster's MLflow at an address of this machine's: it answers to its own name and to localhost only. A
    port-forward ends with its pod, so it is begun again until the last test is over.
    """
    port = free_port()
    line = platform.kubectl.within("mlflow").line("port-forward", "service/mlflow", f"{port}:5000")
    again = ["/bin/sh", "-c", 'while :; do "$@"; sleep 0.5; done', "sh", *line]
    with Path(os.devnull).open("w") as nowhere:
        forward = subprocess.Popen(again, stdout=nowhere, stderr=nowhere, start_new_session=True)
    try:
        url, until = f"http://localhost:{port}", time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{url}/health", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError as error:
                if time.monotonic() > until:
                    raise Broken("the cluster's MLflow does not answer", where=url) from error
                time.sleep(0.2)
        yield url
    finally:
        os.killpg(forward.pid, signal.SIGTERM)
        forward.wait(10)
