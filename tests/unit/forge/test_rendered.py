"""Two real trees in a real repository, rendered by the real kustomize and compared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.engines import binary
from coalmine.errors import BadInput, Missing
from coalmine.forge import rendered
from coalmine.forge.diff import differences
from coalmine.release.git import Repository

KIND = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: "


@pytest.fixture(scope="module")
def kustomize() -> str:
    return str(binary("kustomize"))


def git(where: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(
        ["git", "-C", str(where), *identity, *words], check=True, capture_output=True, text=True
    ).stdout


def write(where: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(text, encoding="utf-8")
    git(where, "add", "-A")
    git(where, "commit", "-q", "-m", "change")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A base, two overlays, a component and a policy in flagger/, all as this repository has them."""
    git(tmp_path, "init", "-q")
    app = "gitops/apps/shop"
    write(
        tmp_path,
        {
            f"{app}/base/kustomization.yaml": KIND + "resources: [map.yaml, ../../../../flagger/shop]\n",
            f"{app}/base/map.yaml": MAP + "base}\n",
            f"{app}/release/bench/kustomization.yaml": KIND.replace("v1beta1", "v1alpha1").replace(
                "Kustomization", "Component"
            )
            + "commonAnnotations: {release: m1}\n",
            f"{app}/overlays/bench/kustomization.yaml": KIND
            + "namespace: shop\nresources: [../../base]\ncomponents: [../../release/bench]\n",
            f"{app}/overlays/other/kustomization.yaml": KIND + "namespace: other\nresources: [../../base]\n",
            "flagger/shop/kustomization.yaml": KIND + "resources: [policy.yaml]\n",
            "flagger/shop/policy.yaml": MAP.replace("settings", "policy") + "alpha}\n",
        },
    )
    return tmp_path


def test_overlays_are_rendered_and_what_they_include_is_not(tree: Path, kustomize: str) -> None:
    """Bases, components and policies are seen through the overlays."""
    found = rendered.at(Repository(tree), "HEAD", kustomize=kustomize)
    assert sorted(found) == ["gitops/apps/shop/overlays/bench", "gitops/apps/shop/overlays/other"]
    assert not any(one.error for one in found.values())
    assert all(len(one.texts) == 2 for one in found.values())


def test_a_release_changes_its_own_overlay_only(tree: Path, kustomize: str) -> None:
    """And a change of the base both."""
    file = tree / "gitops/apps/shop/release/bench/kustomization.yaml"
    write(tree, {str(file.relative_to(tree)): file.read_text().replace("m1", "m2")})
    write(tree, {"gitops/apps/shop/base/map.yaml": MAP + "other}\n"})
    three = [rendered.at(Repository(tree), revision, kustomize=kustomize) for revision in ("HEAD~2", "HEAD~1", "HEAD")]
    released = list(differences(three[0], three[1]))
    assert {one.root for one in released} == {"gitops/apps/shop/overlays/bench"}
    assert {line for one in released for line in one.lines if line[0] in "+-"} == {
        "-    release: m1",
        "+    release: m2",
    }
    changed = list(differences(three[1], three[2]))
    assert sorted(one.title for one in changed) == ["ConfigMap other/settings", "ConfigMap shop/settings"]


def test_what_does_not_render_says_so_without_this_machines_folders(tree: Path, kustomize: str) -> None:
    """The other roots are rendered all the same."""
    write(tree, {"gitops/apps/shop/overlays/other/kustomization.yaml": KIND + "resources: [../../gone]\n"})
    found = rendered.at(Repository(tree), "HEAD", kustomize=kustomize)
    said = found["gitops/apps/shop/overlays/other"].error
    assert "gone" in said
    assert "/tmp" not in said
    assert found["gitops/apps/shop/overlays/bench"].texts


def test_the_command_writes_a_comment_and_ends_with_2_where_something_no_longer_renders(
    tree: Path, kustomize: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As the workflow calls it."""
    out = tmp_path_factory.mktemp("out") / "comment.md"
    write(tree, {"gitops/apps/shop/base/map.yaml": MAP + "other}\n"})

    def call() -> int:
        words = [
            "forge",
            "diff",
            "HEAD^1",
            "HEAD",
            "--repository",
            str(tree),
            "--kustomize",
            kustomize,
            "--out",
            str(out),
        ]
        return subprocess.run(
            [sys.executable, "-m", "coalmine.cli", *words], check=False, capture_output=True
        ).returncode

    assert call() == 0
    assert "2 changed." in out.read_text(encoding="utf-8")
    write(tree, {"gitops/apps/shop/overlays/other/kustomization.yaml": "kind: {"})
    assert call() == 2
    assert "does not render any more" in out.read_text(encoding="utf-8")
    write(tree, {"README.md": "another change"})
    assert call() == 0
    assert "did not render before" in out.read_text(encoding="utf-8")


def test_what_is_not_there_is_told(tree: Path, kustomize: str) -> None:
    """A commit, a program."""
    with pytest.raises(BadInput, match="no commit"):
        rendered.at(Repository(tree), "1" * 40, kustomize=kustomize)
    with pytest.raises(Missing):
        rendered.program("kustomize-that-is-not-there")
