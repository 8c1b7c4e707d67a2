"""The restore drill in a cluster: a registry that lost its volume comes back from a night's copy, by digest.

It types what the guide says. The platform goes without its registry meanwhile.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster.conftest import is_healthy
from cluster.kubectl import Kubectl
from cluster.platform import Platform
from cluster.stage import until
from e2e.snippets import blocks
from manifests.rendered import build, tree

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(3600),  # the first run builds engines and images
    pytest.mark.outage,
]
ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "how-to" / "back-up-and-restore.md"
MODEL = "witness-of-the-drill"
_DIGEST = re.compile(r'"digest": "([0-9a-f]{64})"')


def typed(kubectl: Kubectl, block: int) -> str:
    """What the commands of one of the guide's blocks print, in the repository's folder."""
    lines = [line for one in blocks(GUIDE, "console") for line in one.commands if line.startswith("kubectl ")]
    parts = [[line for line in lines if line in one.commands] for one in blocks(GUIDE, "console")]
    commands = [part for part in parts if part][block]
    said = ""
    for line in commands:
        words = [word.replace("gitops/", f"{ROOT}/gitops/") for word in shlex.split(line)[1:]]
        said += kubectl.run(*words, seconds=900)
    return said


@pytest.fixture
def copying(platform: Platform, tmp_path: Path) -> Iterator[Kubectl]:
    """The bench's folder of copies, by the images that its registry runs by."""
    root = tree(tmp_path)
    images = "gitops/clusters/bench/images/kustomization.yaml"
    (root / images).write_text((platform.work / images).read_text())
    made = list(build(root, "gitops/clusters/bench/backup"))
    platform.kubectl.apply(made)
    yield platform.kubectl
    for job in ("now", "back"):
        platform.kubectl.within("mlflow").run("delete", "job", job, "--ignore-not-found")
    platform.kubectl.delete(made, "--wait=false")


def registry(platform: Platform, method: str, call: str, **given: str) -> int:
    """MLflow's answer, by the Service's own address and the name under which it is known in the cluster."""
    url = f"http://{platform.address('mlflow', namespace='mlflow')}:5000/api/2.0/mlflow/registered-models/{call}"
    where = {"params": given} if method == "GET" else {"json": given}
    headers = {"Host": "mlflow.mlflow:5000"}
    return httpx.request(method, url, headers=headers, trust_env=False, timeout=30, **where).status_code  # type: ignore[arg-type]  # either form


def test_a_registry_that_lost_its_volume_comes_back_from_its_copy_by_digest(
    platform: Platform, copying: Kubectl
) -> None:
    """A model is there before; the volume is deleted; after the way back it is there again, one made later is not."""
    assert registry(platform, "POST", "create", name=MODEL) in (200, 400)  # 400: of an earlier drill
    copied = set(_DIGEST.findall(typed(copying, 0)))
    assert len(copied) == 1, copied
    assert registry(platform, "POST", "create", name=f"{MODEL}-later") in (200, 400)
    try:
        typed(copying, 1)
        back = copying.run("--namespace", "mlflow", "logs", "job/back", "--all-containers")
        assert set(_DIGEST.findall(back)) == copied
    finally:
        root = ROOT / "gitops/clusters/bench/bootstrap/root.yaml"
        copying.apply(root, "--force-conflicts")
    until(lambda: is_healthy(platform, "mlflow"), "the registry is Synced and Healthy", seconds=600)
    copying.within("mlflow").rolled_out("deployment/mlflow")
    until(lambda: registry(platform, "GET", "get", name=MODEL) == 200, "the witness is there")
    assert registry(platform, "GET", "get", name=f"{MODEL}-later") == 404
