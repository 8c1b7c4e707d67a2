"""The table of engines: what it says when something is lacking, and that what it builds runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cluster import engines, golang
from coalmine.errors import BadInput, Broken, Missing

TINY = golang.Engine("rsc.io/quote", "v1.5.2", "no-such-package")


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COALMINE_CACHE", str(tmp_path / "cache"))


def test_an_unknown_engine_is_the_callers_mistake_and_the_known_ones_are_named() -> None:
    with pytest.raises(BadInput, match="no engine 'kubelt'") as caught:
        engines.binary("kubelt")
    assert "kubelet" in caught.value.remedy


@pytest.mark.usefixtures("_own_cache")
def test_without_go_the_remedy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "PLACES", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Missing, match="not on the PATH") as caught:
        engines.binary("kustomize")
    assert "install Go 1.26" in caught.value.remedy


@pytest.mark.usefixtures("_own_cache")
def test_a_go_that_is_too_old_is_named_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.19.8\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Missing, match=r"go1\.19\.8, too old"):
        engines.binary("kustomize")


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("k8s.io/api", "v0.36.3"),
        ("k8s.io/kubernetes", "v0.36.3"),
        ("github.com/argoproj/argo-cd/gitops-engine", ""),
    ],
)
def test_a_prefix_lends_to_all_below_it_and_to_nothing_else(path: str, version: str) -> None:
    assert engines.ENGINES["kubelet"].lender(path) == version


def test_every_engine_has_a_version_that_no_tag_can_move() -> None:
    pinned = {name: engine.version for name, engine in engines.ENGINES.items()}
    pinned |= {name: version for name, (_, version) in engines.MODULES.items()}
    assert all(version.startswith("v") and version.count(".") >= 2 for version in pinned.values())


@pytest.mark.cluster
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("kustomize", ["version"], "v5.8.1"),
        ("kubectl", ["version", "--client"], "v1.36.3"),
        ("containerd", ["--version"], "v2.4.2"),
        ("runc", ["--version"], "runc version 1.5.2"),
        ("helm", ["version"], "v3.22.0"),
        ("coredns", ["-version"], "CoreDNS-1.14.0"),
    ],
)
def test_an_engine_knows_its_version(name: str, words: list[str], says: str) -> None:
    done = subprocess.run([engines.binary(name), *words], capture_output=True, text=True, check=True)
    assert says in done.stdout + done.stderr


@pytest.mark.cluster
def test_what_does_not_build_says_what_the_compiler_said_and_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="did not build"):
        golang.build("tiny", TINY, into=tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()
