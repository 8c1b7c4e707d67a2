"""The scripts that workflows call, on real repositories with real keys."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from coalmine.forge.writers import LIST, refusals
from coalmine.release.git import Repository
from coalmine.settings import load
from unit.workflows.read import ROOT

SCRIPTS = ROOT / ".github" / "scripts"
BOT = "coalmine-release@localhost"
AT = "gitops/apps/sentiment/release/production/kustomization.yaml"


def git(where: Path, *words: str) -> str:
    identity = ("-c", "user.name=Coalmine", "-c", f"user.email={BOT}")
    done = subprocess.run(["git", "-C", str(where), *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def call(where: Path, name: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    identity = {f"GIT_COMMITTER_{what}": BOT for what in ("NAME", "EMAIL")}
    return subprocess.run(
        [SCRIPTS / name, *words],
        cwd=where,
        env={**os.environ, **identity, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def write(where: Path, name: str, text: str, *, message: str = "change") -> str:
    (where / name).parent.mkdir(parents=True, exist_ok=True)
    (where / name).write_text(text, encoding="utf-8")
    git(where, "add", "-A")
    git(where, "commit", "-q", "--cleanup=verbatim", "-m", message)
    return git(where, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    made = tmp_path / "clone"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    write(made, "bentos/sentiment/service.py", "")
    return made


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made)], check=True)
    return made


def test_a_signed_commit_is_the_same_commit_and_the_bots(clone: Path, key: Path) -> None:
    """Tree, parents, author and message stay, trailers and lines that look like comments among them."""
    base = write(clone, LIST, f"{BOT} {key.with_suffix('.pub').read_text()}")
    message = "release m1\n\n# image\n\nCoalmine-Release: m1\n"
    plain = write(clone, AT, "one", message=message)
    assert list(refusals(Repository(clone), base, plain))
    done = call(clone, "signed", plain, RELEASE_SIGNING_KEY=key.read_text())
    assert done.returncode == 0, done.stderr
    signed = done.stdout.strip()
    assert signed != plain
    assert list(refusals(Repository(clone), base, signed)) == []
    for form in ("%T", "%P", "%an %ae %ad", "%B"):
        assert git(clone, "show", "-s", f"--format={form}", signed) == git(
            clone, "show", "-s", f"--format={form}", plain
        )


def test_without_a_key_a_commit_stays_as_it_is(clone: Path) -> None:
    """The list of writers then believes the address."""
    done = call(clone, "signed", "HEAD", RELEASE_SIGNING_KEY="")
    assert done.stdout.strip() == git(clone, "rev-parse", "HEAD")


def test_a_key_that_is_none_signs_nothing(clone: Path) -> None:
    """And its text is not repeated."""
    done = call(clone, "signed", "HEAD", RELEASE_SIGNING_KEY="half of a key")
    assert done.returncode != 0
    assert not done.stdout
    assert "half of a key" not in done.stderr


def test_the_model_is_configured_and_the_tree_stays_clean(clone: Path) -> None:
    """`package` refuses a tree that differs from its commit."""
    done = call(clone, "configured", "sentiment", "https://mlflow.example.org")
    assert done.returncode == 0, done.stderr
    assert git(clone, "status", "--porcelain") == ""
    settings = load(project=clone, environ={})
    assert (settings.model, settings.tracking_uri) == ("sentiment", "https://mlflow.example.org")


@pytest.mark.parametrize(
    ("model", "mlflow"),
    [('a"\nport = "1', ""), ("", ""), ("../x", ""), ("a", 'http://x"\nstate = "/'), ("a", "file:/x")],
)
def test_what_is_no_name_and_no_url_is_refused(clone: Path, model: str, mlflow: str) -> None:
    """Both come from a form that anybody who may dispatch a workflow fills in."""
    done = call(clone, "configured", model, mlflow)
    assert done.returncode == 2
    assert not (clone / "coalmine.toml").exists()


def test_staging_is_main_under_a_name_of_its_own(clone: Path, tmp_path: Path) -> None:
    """What is pushed there is seen by nobody else."""
    done = call(clone, "staged", str(tmp_path / "staging.git"))
    assert done.returncode == 0, done.stderr
    assert git(clone, "ls-remote", "staging", "refs/heads/main").split()[0] == git(clone, "rev-parse", "HEAD")
