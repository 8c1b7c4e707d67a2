"""A clone of this repository with a packaged release, a registry and a pair of keys: what tests of images start from.

Images are built where all of the project's are: a layer of packages stays there until their lock changes.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cluster import engines, project_images
from coalmine.records import Release, ReleaseId
from coalmine.release.git import Repository
from coalmine.release.ledger import Ledger
from coalmine.settings import load
from coalmine.steps import runtime
from coalmine.steps.package import digest

ROOT = Path(__file__).parents[2]
UID = 10001
MODEL = """
import sys, json, joblib
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from coalmine.release.manifest import installed

into, facts = sys.argv[1], json.loads(sys.argv[2])
words = ["good", "fine", "great", "bad", "poor", "awful"]
model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(words, [1, 1, 1, 0, 0, 0])
joblib.dump(model, f"{into}/pipeline.joblib")
open(f"{into}/release.json", "w").write(json.dumps({**facts, **installed()}))
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass(frozen=True)
class Site:
    """A clone of this repository at HEAD, a release of it that is packaged, a registry and a pair of keys."""

    clone: Path
    state: Path
    release: ReleaseId
    registry: str
    folder: Path
    environ: dict[str, str]

    def run(self, *words: str, code: int = 0) -> dict[str, Any]:
        """`coalmine --json <words>`: what it printed."""
        command = [
            sys.executable,
            "-m",
            "coalmine.cli",
            "--json",
            "--project",
            str(self.clone),
            "--state",
            str(self.state),
        ]
        done = subprocess.run([*command, *words], capture_output=True, text=True, env=self.environ, check=False)
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
        return dict(json.loads(done.stdout))

    def keys(self, name: str) -> tuple[str, str]:
        """A pair of keys: the private half's path and the public one's."""
        pair = (str(self.folder / f"{name}.key"), str(self.folder / f"{name}.pub"))
        if not Path(pair[0]).exists():
            make = ["cosign", "generate-key-pair", "--output-key-prefix", str(self.folder / name)]
            subprocess.run(make, env=self.environ, check=True, capture_output=True)
        return pair

    def buildah(self, *words: str) -> str:
        done = subprocess.run(["buildah", *words], capture_output=True, text=True, env=self.environ, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout.strip()


def packaged(clone: Path, state: Path) -> ReleaseId:
    """What `package` makes, with a model fitted on six words in place of a training run."""
    sha = Repository(clone).run("rev-parse", "HEAD").strip()
    release = ReleaseId(1, sha[:7])
    bento = state / "bentoml" / "bentos" / "sentiment" / str(release)
    context = state / "context"
    shutil.copytree(clone / "bentos" / "sentiment", context)
    (context / "model").mkdir()
    carried = runtime.carry(clone, sha, into=context / "runtime", locks=runtime.locks_of("sentiment"))
    facts = {"release": str(release), "model": "sentiment", "version": 1, "run_id": "run1", "git_sha": sha}
    facts |= {"dataset_digest": "data1", "environment": "env1", **carried}
    subprocess.run([sys.executable, "-c", MODEL, str(context / "model"), json.dumps(facts)], check=True)
    order = {"service": "service.py", "name": "sentiment", "version": str(release), "labels": {}, "packages": []}
    own = {"BENTOML_HOME": str(state / "bentoml"), "BENTOML_ENABLE_FEATURES": "no_image"}
    subprocess.run(
        [sys.executable, "-m", "coalmine.steps.bento"],
        input=json.dumps(order | {"context": str(context)}),
        text=True,
        check=True,
        cwd=context,
        env=os.environ | own | {"BENTOML_DO_NOT_TRACK": "true"},
        stdout=subprocess.DEVNULL,
    )
    record = Release(
        "sentiment", release, "run1", "data1", sha, "env1", f"sentiment:{release}", str(bento), digest(bento), 1.0
    )
    Ledger(load(project=clone, state=state).database).add(record)
    return release


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """A site below `folder`, its registry answering until the end."""
    (folder / "gitconfig").write_text("[user]\n\tname = A Person\n\temail = person@example.org\n")
    clone, state = folder / "clone", folder / "state"
    Repository(ROOT).run("clone", "--quiet", str(ROOT), str(clone))
    port = free_port()
    environ = project_images.environment() | {"GIT_CONFIG_GLOBAL": str(folder / "gitconfig")}
    made = Site(clone, state, packaged(clone, state), f"127.0.0.1:{port}", folder, environ)
    project_images.bases()
    made.keys("own")
    registry = serve(folder, port)
    try:
        yield made
    finally:
        registry.terminate()
        registry.wait(10)


def serve(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """The bench's registry without TLS, on loopback; returns when it answers."""
    config = folder / "registry.json"
    storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    config.write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": f"127.0.0.1:{port}"}}))
    with (folder / "registry.log").open("wb") as log:
        registry = subprocess.Popen([engines.binary("registry"), "serve", config], stdout=log, stderr=log)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            httpx.get(f"http://127.0.0.1:{port}/v2/")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return registry
    registry.terminate()
    raise AssertionError((folder / "registry.log").read_text())
