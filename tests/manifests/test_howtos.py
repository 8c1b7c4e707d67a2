"""A new cluster is a folder, and so is a new model: what the guides tell a newcomer to type makes what git needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cluster.engines import binary
from coalmine.release.file import ReleaseFile, path, render
from e2e.snippets import Shell, blocks
from manifests.rendered import DIGEST, RELEASE, ROOT, build, folders, of_cluster, tree

pytestmark = [pytest.mark.timeout(300)]  # whole clusters are rendered and linted
GUIDES = ROOT / "docs" / "how-to"
EDITS = ("cp ", "sed ", "rm ")


def follow(folder: Path, guide: str) -> None:
    """Type what the page says of files; what it says of clusters and images wants more than this machine."""
    shell = Shell(folder, dict(os.environ))
    try:
        typed = [line for block in blocks(GUIDES / guide, "console") for line in block.commands]
        for line in (line for line in typed if line.startswith(EDITS)):
            code, said = shell.run(line)
            assert code == 0, f"$ {line}\n{said}"
    finally:
        shell.close()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return tree(tmp_path)


def findings(clone: Path) -> str:
    """What `coalmine lint` says there; empty where it finds nothing."""
    command = [sys.executable, "-m", "coalmine.cli", "lint", "--kustomize", str(binary("kustomize"))]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _mine(clone: Path) -> list[str]:
    return [folder for folder in folders(clone) if "/mine" in folder]


def test_a_cluster_that_is_made_by_the_guide_is_whole_and_says_nothing_of_its_origin(
    clone: Path,
) -> None:
    """All of it builds; each Application leads into its own folder or the platform's, at the newcomer's address."""
    follow(clone, "bring-up-a-cluster.md")
    release = clone / "gitops/apps/sentiment/release"
    shutil.copytree(release / "kind", release / "mine")  # as the first `coalmine release` writes it
    assert all(build(clone, folder) for folder in _mine(clone))
    root = yaml.safe_load((clone / "gitops/clusters/mine/bootstrap/root.yaml").read_text(encoding="utf-8"))
    assert root["spec"]["source"]["path"] == "gitops/clusters/mine"
    said = str(of_cluster(clone, "mine"))
    assert [word for word in ("clusters/kind", "release/kind", "localhost:8", "git.example.com") if word in said] == []
    assert "https://github.com/acme/coalmine.git" in said
    assert findings(clone) == ""


def test_a_model_that_is_added_by_the_guide_stands_beside_the_first_with_a_tenant_of_its_own(clone: Path) -> None:
    """Nothing in it says the first one's name, and the linter finds nothing in the whole."""
    flagger = clone / "flagger" / "mine"
    shutil.copytree(clone / "flagger" / "sentiment", flagger)  # the guide on models makes it
    for file in flagger.rglob("*.yaml"):
        file.write_text(file.read_text(encoding="utf-8").replace("sentiment", "mine"), encoding="utf-8")
    follow(clone, "add-a-model-to-a-cluster.md")
    release = clone / path("mine", "kind")
    release.parent.mkdir(parents=True)
    release.write_text(render(ReleaseFile("mine", "kind", RELEASE, image="ghcr.io/acme/mine", digest=DIGEST)))
    made = [*build(clone, "gitops/apps/mine/overlays/kind"), *build(clone, "gitops/clusters/kind/tenants/mine")]
    assert {"Canary", "Deployment", "Namespace", "ResourceQuota", "AppProject"} <= {one["kind"] for one in made}
    assert "sentiment" not in str([one["metadata"] for one in made])
    assert "sentiment.localhost" not in str(made)
    assert findings(clone) == ""


def test_a_further_claim_is_copied_by_the_guides_own_folder(clone: Path) -> None:
    """Its claim, by the cluster's own images, and the linter finds nothing in a cluster that has it."""
    snippet = next(block.text for block in blocks(GUIDES / "back-up-and-restore.md", "yaml"))
    folder = clone / "gitops/clusters/production/steps"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(snippet)
    made = [one for one in build(clone, "gitops/clusters/production/steps") if one["kind"] == "CronJob"]
    assert {one["metadata"]["name"] for one in made} == {"backup-steps", "restore-steps"}
    for one in made:
        pod = one["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]}
        assert claims == {"data": "coalmine", "backups": "backups-steps"}
        assert all("@sha256:" in container["image"] for container in pod["containers"])
