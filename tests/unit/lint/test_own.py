"""This repository's own manifests and files, under its own rules."""

from __future__ import annotations

from pathlib import Path

from coalmine.lint import kustomize, project, run
from manifests import rendered

ROOT = Path(__file__).parents[3]


def found(root: Path, program: Path, missed: list[str]) -> list[str]:
    """What is told of a tree, warnings as well; every cluster in it was followed."""
    estates = project.estates(root, kustomize.find(str(program)), missed)
    assert sum(estate.whole for estate in estates) == len(list(root.glob("gitops/clusters/*/kustomization.yaml")))
    return [
        f"{rule.id} {hit.obj.title if hit.obj else hit.file.path if hit.file else ''}: {hit.what}"
        for estate in estates
        for rule, hit in run.search(estate)
    ]


def test_no_cluster_and_no_file_of_this_repository_sets_a_trap(program: Path) -> None:
    """Each cluster with all its Applications, and the files beside them."""
    assert found(ROOT, program, []) == []


def test_nor_does_one_with_argo_cds_own_manifest(program: Path, tmp_path: Path) -> None:
    """Which comes over the network, and is left out where there is none."""
    missed: list[str] = []
    assert found(rendered.tree(tmp_path), program, missed) == []
    assert missed == []


def test_nor_does_production_on_databases(program: Path, tmp_path: Path) -> None:
    """As infra/ hands them over, by Components of their own: registry and judge, and the dumps beside the copies."""
    root = rendered.tree(tmp_path)
    given = {"mlflow": "../../../platform/mlflow/postgres", "judge": "../../../platform/judge/postgres"}
    for part, component in (given | {"backup": "databases"}).items():
        file = root / "gitops" / "clusters" / "production" / part / "kustomization.yaml"
        file.write_text(file.read_text().replace("../images]", f"../images, {component}]"))
    assert found(root, program, []) == []
