"""`coalmine lint` as it is run: what it reads, prints and ends with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from coalmine.lint import RULES, kustomize
from coalmine.lint.examples import CANARY, DEPLOYMENT, TEMPLATE
from coalmine.lint.rule import swapped

ROOT = Path(__file__).parents[3]
BAD = swapped(CANARY, "gatewayapi:v1", "gatewayapi")
needs_kustomize = pytest.mark.usefixtures("kustomize")


def run(*words: str, text: str = "", cwd: Path = ROOT, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environ = dict(os.environ) if path is None else {**os.environ, "PATH": path}
    command = [sys.executable, "-m", "coalmine.cli", *words]
    return subprocess.run(
        command, input=text, cwd=cwd, env=environ, capture_output=True, text=True, timeout=100, check=False
    )


def written(folder: Path, **files: str) -> Path:
    """A folder that kustomize builds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    names = [f"{name}.yaml" for name in files]
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(head), encoding="utf-8")
    return folder


def test_a_clean_stream_ends_with_0() -> None:
    """And says so."""
    done = run("lint", "-", text=CANARY)
    assert (done.returncode, done.stdout) == (0, "nothing found\n")


def test_findings_end_with_3_and_name_place_reason_and_remedy() -> None:
    """For people."""
    done = run("lint", "-", text=BAD)
    assert done.returncode == 3
    rule = RULES["CM103"]
    squeezed = " ".join(done.stdout.split())
    for part in ("CM103 error", "Canary sentiment/sentiment", "spec.provider", rule.reason, rule.remedy):
        assert part in squeezed


def test_json_is_a_list_of_findings() -> None:
    """For machines."""
    done = run("lint", "-", "--json", text=BAD)
    [found] = json.loads(done.stdout)
    assert (found["rule"], found["severity"], found["field"]) == ("CM103", "error", "spec.provider")
    assert done.returncode == 3


def test_a_file_is_told_by_line(tmp_path: Path) -> None:
    """In SARIF as well, relative to the project."""
    (tmp_path / "canary.yaml").write_text(BAD, encoding="utf-8")
    done = run("lint", str(tmp_path / "canary.yaml"), "--sarif")
    [result] = json.loads(done.stdout)["runs"][0]["results"]
    assert result["ruleId"] == "CM103"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("canary.yaml")
    assert place["region"]["startLine"] == 1 + BAD.splitlines().index("  provider: gatewayapi")
    assert done.returncode == 3


@needs_kustomize
def test_a_folder_is_rendered_and_its_findings_lead_to_the_file_that_says_it(tmp_path: Path) -> None:
    """A patch that sets the field, not the base that it is laid over."""
    written(tmp_path / "gitops" / "base", canary=CANARY)
    overlay = written(tmp_path / "gitops" / "overlay")
    patch = "apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: sentiment, namespace: sentiment}\n"
    (overlay / "provider.yaml").write_text(patch + "spec:\n  provider: gatewayapi\n", encoding="utf-8")
    (overlay / "kustomization.yaml").write_text("resources: [../base]\npatches: [{path: provider.yaml}]\n")
    done = run("lint", "gitops/overlay", "--json", cwd=tmp_path)
    [found] = json.loads(done.stdout)
    assert (found["file"], found["line"]) == ("gitops/overlay/provider.yaml", 5)


@needs_kustomize
def test_a_cluster_is_followed_through_its_applications(tmp_path: Path) -> None:
    """Seams between two Applications are seen, and an ApplicationSet is filled with the folders that there are."""
    written(tmp_path / "gitops" / "judged", template=swapped(TEMPLATE, "name: backstop", "name: other"))
    written(tmp_path / "gitops" / "apps" / "sentiment", canary=CANARY, deployment=DEPLOYMENT)
    source = "source: {repoURL: https://git.example.com/x.git, path: %s}"
    app = f"""\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {{name: judged, namespace: argocd}}
spec:
  {source % "gitops/judged"}
  destination: {{namespace: sentiment}}
"""
    many = f"""\
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {{name: models, namespace: argocd}}
spec:
  generators: [{{git: {{directories: [{{path: gitops/apps/*}}]}}}}]
  template:
    metadata: {{name: "{{{{.path.basename}}}}"}}
    spec:
      {source % '"{{.path.path}}"'}
      destination: {{namespace: "{{{{.path.basename}}}}"}}
"""
    written(tmp_path / "gitops" / "clusters" / "one", app=app, many=many)
    done = run("lint", "--json", cwd=tmp_path)
    found = {one["rule"]: one for one in json.loads(done.stdout)}
    assert found["CM108"]["file"] == "gitops/apps/sentiment/canary.yaml"
    assert "CM121" not in found


@needs_kustomize
def test_an_overlay_without_a_release_is_looked_at_as_if_it_had_its_first(tmp_path: Path) -> None:
    """It does not build yet, and its traps are there already."""
    base = written(tmp_path / "gitops" / "apps" / "toy" / "overlays" / "bench", canary=BAD)
    with (base / "kustomization.yaml").open("a", encoding="utf-8") as head:
        head.write("components: [../../release/bench]\n")
    done = run("lint", "--json", cwd=tmp_path)
    assert [one["rule"] for one in json.loads(done.stdout)] == ["CM103"]
    assert not (tmp_path / "gitops" / "apps" / "toy" / "release").exists()


def test_without_kustomize_it_ends_with_4_and_says_how_to_get_it(tmp_path: Path) -> None:
    """Streams and files need none."""
    folder = written(tmp_path / "gitops", canary=CANARY)
    done = run("lint", str(folder), path=str(tmp_path))
    assert done.returncode == 4
    assert "install kustomize" in done.stderr
    assert run("lint", "-", text=CANARY, path=str(tmp_path)).returncode == 0
    assert run("lint", str(folder), "--kustomize", "no-such-program").returncode == 4


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["lint", "-"], "a: [1"),
        (["lint", "no-such-file.yaml"], ""),
        (["lint", "src"], ""),
        (["lint", "--explain", "CM999"], ""),
    ],
)
def test_what_cannot_be_read_ends_with_2(words: list[str], text: str) -> None:
    """With a remedy and no traceback."""
    done = run(*words, text=text)
    assert done.returncode == 2, done.stderr
    assert "remedy" in done.stderr
    assert "Traceback" not in done.stderr


@needs_kustomize
def test_a_folder_that_does_not_build_ends_with_2_and_kustomizes_own_words(tmp_path: Path) -> None:
    """The user mends the kustomization first."""
    folder = written(tmp_path / "gitops", canary=CANARY)
    (folder / "kustomization.yaml").write_text("resources: [gone.yaml]\n", encoding="utf-8")
    done = run("lint", str(folder))
    assert done.returncode == 2
    assert "gone.yaml" in done.stderr


def test_a_rule_is_explained() -> None:
    """With its source and both examples."""
    done = run("lint", "--explain", "CM123")
    assert done.returncode == 0
    assert all(part in done.stdout for part in ("CM123", "remedy:", "source:", "bad:", "good:"))


def test_a_program_is_called_as_its_kind_is(tmp_path: Path) -> None:
    """kubectl has kustomize in it under another word."""
    for name, word in (("kubectl", "kustomize"), ("kustomize", "build")):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n", encoding="utf-8")
        program.chmod(0o755)
        assert kustomize.find(str(program)).words == (str(program), word)
