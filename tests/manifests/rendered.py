"""`gitops/` as clusters get it: plain `kustomize build`, with a release in each environment and no network.

The one thing that lies elsewhere is Argo CD's own manifest; its bytes come from the module of that version.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from cluster.engines import binary, module
from coalmine.records import ReleaseId
from coalmine.release.file import ReleaseFile, path, render

ROOT = Path(__file__).parents[2]
CLUSTERS = ("bench", "kind", "production")
INSTALL = "https://raw.githubusercontent.com/argoproj/argo-cd/v3.5.7/manifests/install.yaml"
RELEASE = ReleaseId.parse("m2-1a2b3c4")
DIGEST = "sha256:" + "1" * 64
Object = dict[str, Any]


def tree(scratch: Path) -> Path:
    """A copy of what kustomize reads, with a release in each environment. Returns its root."""
    for folder in ("gitops", "flagger"):
        shutil.copytree(ROOT / folder, scratch / folder)
    for overlay in sorted(scratch.glob("gitops/apps/*/overlays/*")):
        model, env = overlay.parts[-3], overlay.name
        file = scratch / path(model, env)
        file.parent.mkdir(parents=True, exist_ok=True)
        release = ReleaseFile(model, env, RELEASE, image=f"registry.example.com/{model}", digest=DIGEST)
        file.write_text(render(release), encoding="utf-8")
    for env in CLUSTERS:
        bootstrap = scratch / "gitops" / "clusters" / env / "bootstrap"
        shutil.copy(module("argocd") / "manifests" / "install.yaml", bootstrap / "install.yaml")
        kustomization = bootstrap / "kustomization.yaml"
        kustomization.write_text(kustomization.read_text(encoding="utf-8").replace(INSTALL, "install.yaml"))
    return scratch


def folders(root: Path) -> list[str]:
    """All that can be built by itself, relative to the root: what is no Component, and no one-machine overlay."""
    found = sorted((root / "gitops").rglob("kustomization.yaml")) + sorted(
        (root / "flagger").glob("*/kustomization.yaml")
    )
    return [
        file.parent.relative_to(root).as_posix()
        for file in found
        if yaml.safe_load(file.read_text(encoding="utf-8"))["kind"] == "Kustomization"
    ]


@cache
def build(root: Path, folder: str) -> tuple[Object, ...]:
    """What `kustomize build` makes of a folder; an AssertionError with its own words where it fails."""
    done = subprocess.run(
        [str(binary("kustomize")), "build", str(root / folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    return tuple(one for one in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if one)


def of_cluster(root: Path, name: str) -> list[Object]:
    """Every object that git brings into a cluster, charts apart: the root's Applications, followed."""
    found = list(build(root, f"gitops/clusters/{name}"))
    followed = [
        one["spec"]["source"]["path"]
        for one in found
        if one["kind"] == "Application" and "path" in one["spec"]["source"]
    ]
    tenants = sorted(one.name for one in (root / "gitops" / "clusters" / name / "tenants").iterdir())
    tenants.sort(key=lambda one: one != "sentiment")  # first: what tests look for, they find there
    theirs = [
        at for one in tenants for at in (f"gitops/clusters/{name}/tenants/{one}", f"gitops/apps/{one}/overlays/{name}")
    ]
    for folder in [*followed, *theirs]:
        found += build(root, folder)
    return found


def pods(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Each workload and its pod template."""
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield one, one["spec"]["template"]
        elif one["kind"] == "CronJob":
            yield one, one["spec"]["jobTemplate"]["spec"]["template"]


def containers(template: Object) -> list[Object]:
    return [*template["spec"].get("initContainers", ()), *template["spec"]["containers"]]


def where(one: Object) -> str:
    return f"{one['kind']} {one['metadata'].get('namespace', '')}/{one['metadata']['name']}"
