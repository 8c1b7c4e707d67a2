"""What a pull request proposes becomes a commit that can be judged, without its files ever being checked out."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from unit.workflows.read import ROOT

SCRIPT = ROOT / ".github" / "scripts" / "proposed"


def git(where: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", "-C", str(where), *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Forge:
    """A bare repository with main and the branch of pull request 7, and a clone that is at main."""

    bare: Path
    author: Path
    runner: Path

    def commit(self, name: str, text: str) -> str:
        (self.author / name).write_text(text, encoding="utf-8")
        git(self.author, "add", "-A")
        git(self.author, "commit", "-q", "-m", name)
        return git(self.author, "rev-parse", "HEAD")

    def propose(self) -> str:
        git(self.author, "push", "-q", "-f", "origin", "HEAD:refs/pull/7/head")
        return git(self.author, "rev-parse", "HEAD")

    def proposed(self, sha: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SCRIPT, "7", sha], cwd=self.runner, capture_output=True, text=True, check=False)


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    made = Forge(tmp_path / "bare", tmp_path / "author", tmp_path / "runner")
    made.bare.mkdir()
    git(made.bare, "init", "-q", "--bare")
    git(tmp_path, "clone", "-q", str(made.bare), str(made.author))
    git(made.author, "checkout", "-q", "-B", "main")
    made.commit("README.md", "one\n")
    git(made.author, "push", "-q", "origin", "main")
    git(tmp_path, "clone", "-q", "-b", "main", str(made.bare), str(made.runner))
    return made


def test_a_branch_on_top_of_main_is_taken_as_it_is(forge: Forge) -> None:
    """And nothing of it is checked out."""
    base = git(forge.runner, "rev-parse", "HEAD")
    forge.commit("NEW.md", "x")
    sha = forge.propose()
    done = forge.proposed(sha)
    assert done.returncode == 0, done.stderr
    assert git(forge.runner, "rev-parse", "refs/proposed") == sha
    assert git(forge.runner, "rev-parse", "HEAD") == base
    assert not (forge.runner / "NEW.md").exists()


def test_a_branch_beside_main_is_merged_onto_it(forge: Forge) -> None:
    """The base comes first, so that what main has meanwhile is no change."""
    git(forge.author, "checkout", "-q", "-b", "topic")
    forge.commit("NEW.md", "x")
    sha = forge.propose()
    git(forge.author, "checkout", "-q", "main")
    base = forge.commit("README.md", "two\n")
    git(forge.author, "push", "-q", "origin", "main")
    git(forge.runner, "pull", "-q")
    assert forge.proposed(sha).returncode == 0
    assert git(forge.runner, "rev-parse", "refs/proposed^1", "refs/proposed^2").split() == [base, sha]
    assert git(forge.runner, "diff", "--name-only", base, "refs/proposed") == "NEW.md"


def test_what_does_not_merge_is_refused(forge: Forge) -> None:
    """Naming the file."""
    git(forge.author, "checkout", "-q", "-b", "topic")
    forge.commit("README.md", "mine\n")
    sha = forge.propose()
    git(forge.author, "checkout", "-q", "main")
    forge.commit("README.md", "two\n")
    git(forge.author, "push", "-q", "origin", "main")
    git(forge.runner, "pull", "-q")
    done = forge.proposed(sha)
    assert done.returncode == 1
    assert "README.md" in done.stderr


def test_a_branch_that_has_moved_is_left_to_its_own_run(forge: Forge) -> None:
    """Else what is judged would not be what is merged."""
    old = forge.propose()
    forge.commit("NEW.md", "x")
    forge.propose()
    assert forge.proposed(old).returncode == 1
