"""A project with its deployment repository: real git, the real hooks, the ledger. No runtime."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from coalmine.records import Ending, Outcome, Release, ReleaseId
from coalmine.release.file import ReleaseFile, path, render
from coalmine.release.git import Done, Repository
from coalmine.release.install import connect, install
from coalmine.release.ledger import Ledger
from coalmine.settings import Settings

ROOT = Path(__file__).parents[3]
M1, M2, M3 = (ReleaseId(version, "abc1234") for version in (1, 2, 3))
AT = path("sentiment", "local")


@dataclass(frozen=True)
class Site:
    """A checkout, the bare repository that it pushes to, and what the machine remembers."""

    settings: Settings
    checkout: Repository
    bare: Repository
    ledger: Ledger

    def write(self, at: str, content: str) -> None:
        target = self.checkout.path / at
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")

    def commit(self, message: str = "change") -> str:
        self.checkout.run("add", "--all")
        self.checkout.run("commit", "--quiet", "--allow-empty", "-m", message)
        return self.checkout.run("rev-parse", "HEAD").strip()

    def push(self, *arguments: str) -> Done:
        return self.checkout.attempt("push", "coalmine", *(arguments or ("HEAD:main",)))

    def know(self, release: ReleaseId) -> Release:
        record = Release(
            model="sentiment",
            id=release,
            run_id=f"run{release.version}",
            dataset_digest=f"data{release.version}",
            git_sha=release.sha,
            environment="env",
            bento_tag=f"sentiment:{release}",
            bento_path="somewhere",
            bento_digest=f"bento{release.version}",
            created=float(release.version),
        )
        return self.ledger.add(record)

    def name(self, release: ReleaseId, message: str = "release", *, faults: str = "") -> str:
        """Write the release file as `coalmine release` does, and commit it."""
        self.write(AT, render(ReleaseFile("sentiment", "local", release, faults)))
        return self.commit(message)

    def runs(self, release: ReleaseId) -> str:
        """Push a release and let it be primary; returns its commit."""
        self.know(release)
        sha = self.name(release)
        done = self.push()
        assert done.code == 0, done.text
        self.ledger.set_primary("sentiment", release)
        return sha

    def ending(self, release: ReleaseId, primary: ReleaseId | None, commit: str, **changed: object) -> Ending:
        values: dict[str, object] = {
            "model": "sentiment",
            "attempt": 7,
            "release": release,
            "primary": primary,
            "outcome": Outcome.ROLLED_BACK,
            "reason": "errors: 31 of 400 against 2 of 1600",
            "commit": commit,
            "started": 1000.0,
            "ended": 1020.0,
        }
        return Ending(**values | changed)  # type: ignore[arg-type]

    @property
    def main(self) -> str | None:
        return self.bare.commit("refs/heads/main")

    def deployed(self) -> str | None:
        return self.bare.text("refs/heads/main", AT)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    (tmp_path / "gitconfig").write_text("[user]\n\tname = A Person\n\temail = person@example.org\n", encoding="utf-8")
    project = tmp_path / "project with space"
    settings = Settings(project=project, state=tmp_path / "state's", model="sentiment")
    project.mkdir()
    checkout = Repository(project)
    checkout.run("init", "--quiet", "--initial-branch=main")
    bare = install(settings)
    connect(checkout, settings)
    made = Site(settings, checkout, bare, Ledger(settings.database))
    made.write("bentos/sentiment/service.py", "# what serves\n")
    made.write("gitops/apps/sentiment/base/kustomization.yaml", "kind: Kustomization\n")
    shutil.copytree(ROOT / "flagger" / "sentiment", project / "flagger" / "sentiment")
    made.write("flagger/sentiment/policy.yaml", "drills: false\n")
    made.commit("begin")
    return made
