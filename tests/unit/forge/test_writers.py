"""Who may write release files, on real git histories with real SSH signatures."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from coalmine.errors import BadInput
from coalmine.forge.writers import LIST, Writer, read, refusals
from coalmine.release.git import NOTHING, Repository

BOT, PERSON = "bot@example.org", "ada@example.org"
AT = "gitops/apps/sentiment/release/production/kustomization.yaml"


@dataclass(frozen=True)
class Forge:
    """A clone in which anybody can commit under any name, as anybody can."""

    path: Path
    key: Path

    @property
    def repository(self) -> Repository:
        return Repository(self.path)

    def git(self, *words: str, by: str = PERSON, key: Path | None = None) -> str:
        signed = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}", "-c", "commit.gpgsign=true"] if key else []
        who = {f"GIT_{role}_{what}": by for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environ = {**os.environ, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        command = ["git", "-C", str(self.path), *signed, *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self, at: str, text: str | None, *, by: str = PERSON, key: Path | None = None) -> str:
        file = self.path / at
        if text is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"change {at}", by=by, key=key)
        return self.git("rev-parse", "HEAD")

    def refused(self, base: str, head: str = "HEAD", *, proposed: bool = False) -> list[str]:
        return [str(one) for one in refusals(self.repository, base, head, proposed=proposed)]


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    made = Forge(tmp_path / "clone", make_key(tmp_path / "bot"))
    made.path.mkdir()
    made.git("init", "-q", "-b", "main")
    made.commit(LIST, f"# writers\n{BOT}\n")
    return made


@pytest.fixture
def keyed(forge: Forge) -> Forge:
    forge.commit(LIST, f"{BOT} {forge.key.with_suffix('.pub').read_text()}")
    return forge


def test_the_bot_may_write_a_release_file_and_a_person_may_not(forge: Forge) -> None:
    """And each refusal names the commit, the file and who it is by."""
    base = forge.commit("README.md", "hello")
    forge.commit(AT, "one", by=BOT)
    assert forge.refused(base) == []
    mine = forge.commit(AT, "two")
    said = forge.refused(base)
    assert len(said) == 1
    assert AT in said[0]
    assert f"{mine[:12]} is by {PERSON}" in said[0]


def test_a_person_may_write_everything_else(forge: Forge) -> None:
    """Overlays, and the releases of one machine, which no cluster runs."""
    base = forge.git("rev-parse", "HEAD")
    forge.commit("gitops/apps/sentiment/overlays/production/kustomization.yaml", "x")
    forge.commit("gitops/apps/sentiment/release/local/kustomization.yaml", "x")
    forge.commit("docs/gitops/apps/sentiment/release/production/kustomization.yaml", "x")
    assert forge.refused(base) == []


@pytest.mark.parametrize("text", [None, "two"])
def test_a_person_may_neither_change_nor_remove(forge: Forge, text: str | None) -> None:
    """Removing one ends a model's service."""
    base = forge.commit(AT, "one", by=BOT)
    forge.commit(AT, text)
    assert len(forge.refused(base)) == 1


@pytest.mark.parametrize("at", ["release/staging/other.yaml", "release/new", "release/production/deep/er.yaml"])
def test_the_whole_folder_is_held(forge: Forge, at: str) -> None:
    """Whatever lies under release/ is rendered into a cluster."""
    base = forge.git("rev-parse", "HEAD")
    forge.commit(f"gitops/apps/sentiment/{at}", "x")
    assert len(forge.refused(base)) == 1


def test_a_link_in_place_of_the_folder_is_refused(forge: Forge) -> None:
    """It would bring in a release from elsewhere."""
    base = forge.git("rev-parse", "HEAD")
    folder = forge.path / "gitops/apps/sentiment"
    folder.mkdir(parents=True)
    (folder / "release").symlink_to("../other/release")
    forge.git("add", "-A")
    forge.git("commit", "-q", "-m", "link")
    assert len(forge.refused(base)) == 1


def test_a_change_that_is_taken_back_is_refused_all_the_same(forge: Forge) -> None:
    """Argo CD may have synced what stood in between, where commits are pushed one by one."""
    base = forge.commit(AT, "one", by=BOT)
    forge.commit(AT, "two")
    forge.commit(AT, "one")
    assert len(forge.refused(base)) == 2


def test_a_change_cannot_admit_its_own_author(forge: Forge) -> None:
    """The list counts as it is at the base."""
    base = forge.git("rev-parse", "HEAD")
    forge.commit(LIST, f"{BOT}\n{PERSON}\n")
    forge.commit(AT, "one")
    assert len(forge.refused(base)) == 1
    assert forge.refused(NOTHING) == []  # the very first push has no base, and nothing to protect


def test_a_signature_is_asked_for_where_the_list_has_a_key(keyed: Forge) -> None:
    """A name can be borrowed, a key cannot."""
    base = keyed.git("rev-parse", "HEAD")
    keyed.commit(AT, "one", by=BOT, key=keyed.key)
    assert keyed.refused(base) == []
    keyed.commit(AT, "two", by=BOT)
    assert "is not signed with their key" in keyed.refused(base)[0]


def test_another_key_is_not_the_bots(keyed: Forge, tmp_path: Path) -> None:
    """Nor is the bot's own key under another's address."""
    base = keyed.git("rev-parse", "HEAD")
    keyed.commit(AT, "one", by=BOT, key=make_key(tmp_path / "other"))
    assert "is not signed with their key" in keyed.refused(base)[0]
    keyed.git("reset", "-q", "--hard", base)
    keyed.commit(AT, "one", by=PERSON, key=keyed.key)
    assert f"is by {PERSON}" in keyed.refused(base)[0]


def test_who_may_push_is_not_believed_in_a_proposal(forge: Forge) -> None:
    """The closer heals main by its deploy key; anybody can propose a commit under its address."""
    base = forge.commit(LIST, f"{BOT} pushes\n")
    forge.commit(AT, "one", by=BOT)
    assert forge.refused(base) == []
    assert f"is by {BOT}" in forge.refused(base, proposed=True)[0]


def test_a_merge_of_the_bots_work_is_nobodys_change(forge: Forge) -> None:
    """As a forge makes it of a pull request, under the name of whoever pressed the button."""
    base = forge.commit(AT, "one", by=BOT)
    forge.git("checkout", "-q", "-b", "release")
    forge.commit(AT, "two", by=BOT)
    forge.git("checkout", "-q", "main")
    forge.commit("README.md", "x")
    forge.git("merge", "-q", "--no-ff", "release", "-m", "merge")
    assert forge.refused(base) == []


def test_a_merge_with_a_change_of_its_own_is_refused(forge: Forge) -> None:
    """It is no parent's content."""
    base = forge.commit(AT, "one", by=BOT)
    forge.git("checkout", "-q", "-b", "topic")
    forge.commit("README.md", "x")
    forge.git("checkout", "-q", "main")
    forge.commit("OTHER.md", "x")
    forge.git("merge", "-q", "--no-ff", "--no-commit", "topic")
    (forge.path / AT).write_text("mine", encoding="utf-8")
    forge.git("commit", "-q", "-a", "-m", "merge")
    said = forge.refused(base)
    assert len(said) == 1
    assert f"{AT}: {forge.git('rev-parse', 'HEAD')[:12]} is by {PERSON}, who may not write release files" in said[0]


def test_a_merge_that_takes_back_the_bots_release_is_refused(forge: Forge) -> None:
    """`git merge -s ours` changes no file of its first parent, and yet main's release goes."""
    forge.commit(AT, "one", by=BOT)
    forge.git("checkout", "-q", "-b", "topic")
    forge.commit("README.md", "x")
    forge.git("checkout", "-q", "main")
    base = forge.commit(AT, "two", by=BOT)
    forge.git("checkout", "-q", "topic")
    forge.git("merge", "-q", "-s", "ours", "main", "-m", "mine")
    said = forge.refused(base)
    assert len(said) == 1
    assert "a merge leaves it as no writer did" in said[0]


def test_without_a_list_nobody_may(forge: Forge) -> None:
    """Which is said, with what to do; a change elsewhere needs no list."""
    base = forge.commit(LIST, None)
    forge.commit("README.md", "x")
    assert forge.refused(base) == []
    forge.commit(AT, "one", by=BOT)
    with pytest.raises(BadInput, match="no writer"):
        forge.refused(base)


def test_a_commit_that_is_not_fetched_is_a_mistake_not_a_pass(forge: Forge) -> None:
    """A shallow clone must not accept everything."""
    with pytest.raises(BadInput, match="no commit"):
        forge.refused("1" * 40)


@pytest.mark.parametrize(
    "line", ["bot", f"{BOT} ssh-ed25519", f"{BOT} AAAA", f"{BOT} {PERSON}", f"{BOT} pushes ssh-ed25519 AAAA"]
)
def test_a_line_that_is_no_writer_is_named(line: str) -> None:
    """By its number."""
    with pytest.raises(BadInput, match=":2: "):
        read(f"# first\n{line}\n", at=LIST)


def test_a_list_is_read() -> None:
    """With and without keys; a key's comment is no part of it."""
    text = f"\n# bots\n{BOT} pushes\n  {PERSON} ssh-ed25519 AAAAC3Nz+/= ada@laptop\n"
    assert read(text) == (Writer(BOT, pushes=True), Writer(PERSON, "ssh-ed25519 AAAAC3Nz+/="))
