"""This repository's own manifests and files, under its own rules."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from coalmine.lint import Severity, kustomize, project, run

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(not (shutil.which("kustomize") or shutil.which("kubectl")), reason="nothing here renders manifests")
def test_no_cluster_and_no_file_of_this_repository_sets_a_trap() -> None:
    """Each cluster with all its Applications, and the files beside them."""
    missed: list[str] = []
    estates = project.estates(ROOT, kustomize.find(), missed)
    assert sum(estate.whole for estate in estates) == len(list(ROOT.glob("gitops/clusters/*/kustomization.yaml")))
    found = [
        (rule.id, hit) for estate in estates for rule, hit in run.search(estate) if rule.severity is Severity.ERROR
    ]
    told = [
        f"{rule} {hit.obj.title if hit.obj else hit.file.path if hit.file else ''}: {hit.what}" for rule, hit in found
    ]
    assert not told
