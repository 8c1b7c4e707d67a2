"""Main at a remote: read and moved with a deploy key that shows up nowhere."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.control import free_port
from cluster.gitserver import GitServer
from cluster.pki import Authority
from coalmine.cluster.remote import Remote
from coalmine.errors import BadInput, Refused, Temporary
from coalmine.records import Ending, Outcome
from coalmine.release.heal import heal
from coalmine.settings import Settings

from .histories import M1, M2, M3
from .scene import ENV, Forge


def ending(commit: str) -> Ending:
    return Ending("sentiment", 2, M2, M1, Outcome.ROLLED_BACK, "errors", commit, 1.0, 2.0)


def settings(folder: Path) -> Settings:
    return Settings(project=folder, state=folder / "state", model="sentiment", env=ENV)


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    made = Forge.at(tmp_path)
    made.release(M1)
    return made


@pytest.fixture
def remote(tmp_path: Path, forge: Forge) -> Remote:
    made = Remote(str(forge.bare.path), tmp_path / "state" / "main.git")
    made.prepare()
    made.prepare()  # a second start finds its clone
    return made


def test_healing_is_one_commit_at_the_remote_however_often_it_is_asked_for(
    tmp_path: Path, forge: Forge, remote: Remote
) -> None:
    commit = forge.release(M2)
    sha = heal(settings(tmp_path), ending(commit), main=remote)
    assert sha == forge.bare.commit("main")
    assert heal(settings(tmp_path), ending(commit), main=remote) == sha
    assert str(M1) in forge.named()
    again = Remote(remote.url, tmp_path / "another.git")  # a closer that lost its volume
    again.prepare()
    assert heal(settings(tmp_path), ending(commit), main=again) == sha
    assert forge.heals() == 1


def test_a_push_that_comes_between_reading_and_writing_is_not_overwritten(
    tmp_path: Path, forge: Forge, remote: Remote
) -> None:
    commit = forge.release(M2)

    class Slow(Remote):
        __slots__ = ()

        def move(self, new: str, *, expected: str, why: str) -> bool:
            if str(M3) not in forge.named():
                forge.release(M3)
            return super().move(new, expected=expected, why=why)

    slow = Slow(remote.url, remote.folder)
    assert heal(settings(tmp_path), ending(commit), main=slow) is None
    assert str(M3) in forge.named()


def test_what_was_never_on_main_is_not_made_up(tmp_path: Path, forge: Forge, remote: Remote) -> None:
    """Without its image's digest a file would name something that nobody built."""
    commit = forge.release(M2)
    with pytest.raises(Refused, match="main never named m3"):
        heal(settings(tmp_path), replace(ending(commit), primary=M3), main=remote)


def test_a_remote_that_refuses_says_why_and_may_be_mended(tmp_path: Path, forge: Forge, remote: Remote) -> None:
    commit = forge.release(M2)
    hook = forge.bare.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Temporary, match="pre-receive hook declined"):
        heal(settings(tmp_path), ending(commit), main=remote)
    hook.unlink()
    assert heal(settings(tmp_path), ending(commit), main=remote)


def test_an_empty_repository_has_nothing_to_heal(tmp_path: Path) -> None:
    empty = Forge.at(tmp_path / "other")
    remote = Remote(str(empty.bare.path), tmp_path / "main.git")
    remote.prepare()
    assert remote.tip() is None
    assert heal(settings(tmp_path), ending(""), main=remote) is None


def test_a_url_with_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds a password") as caught:
        Remote("https://bot:hunter2@git.example.org/x.git", tmp_path / "main.git").prepare()
    assert "hunter2" not in str(caught.value)


# ---- with a key -------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    made = GitServer(tmp_path / "git", Authority.at(tmp_path / "pki"), address="127.0.0.1", port=free_port())
    made.start()
    try:
        yield made
    finally:
        made.stop()


def _secret(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("_crt", ".crt")).write_text(content)
    return folder


def test_https_with_a_token_and_an_authority_of_ones_own(tmp_path: Path, server: GitServer) -> None:
    bare = server.create()
    forge = Forge.at(tmp_path / "person", bare=bare)
    forge.release(M1)
    commit = forge.release(M2)
    authority = server.authority.certificate.read_text()
    good = _secret(tmp_path / "good", username="closer", password=server.token("closer"), ca_crt=authority)
    bad = _secret(tmp_path / "bad", username="closer", password="wrong", ca_crt=authority)
    url = f"https://127.0.0.1:{server.port}/coalmine.git"
    remote = Remote(url, tmp_path / "main.git", bad)
    remote.prepare()
    with pytest.raises(Temporary) as caught:
        heal(settings(tmp_path), ending(commit), main=remote)
    assert "wrong" not in str(caught.value)
    sha = heal(settings(tmp_path), ending(commit), main=Remote(url, tmp_path / "main.git", good))
    assert sha == forge.bare.commit("main")
    kept = subprocess.run(["grep", "-r", server.token("closer"), str(tmp_path / "main.git")], check=False)
    assert kept.returncode == 1, "the token is in the clone"


SSH = """#!/bin/sh
# Stands for the network: records how it was called, and runs what it was asked to run.
echo "$@" >> {log}
for last; do :; done
exec sh -c "$last"
"""


def test_ssh_gets_the_keys_file_and_the_known_hosts_and_nothing_of_the_users_own(
    tmp_path: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    ssh = programs / "ssh"
    ssh.write_text(SSH.format(log=tmp_path / "said"))
    ssh.chmod(ssh.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    keys = _secret(tmp_path / "keys", identity="PRIVATE", known_hosts="forge ssh-ed25519 AAAA")
    commit = forge.release(M2)
    remote = Remote(f"ssh://git@forge{forge.bare.path}", tmp_path / "main.git", keys)
    remote.prepare()
    assert heal(settings(tmp_path), ending(commit), main=remote) == forge.bare.commit("main")
    said = (tmp_path / "said").read_text()
    assert f"-i {keys}/identity" in said
    assert f"UserKnownHostsFile={keys}/known_hosts" in said
    assert "StrictHostKeyChecking=yes" in said
    assert "PRIVATE" not in said


def test_a_folder_without_a_key_is_named(tmp_path: Path, forge: Forge) -> None:
    remote = Remote(str(forge.bare.path), tmp_path / "main.git", _secret(tmp_path / "empty"))
    remote.prepare()
    with pytest.raises(BadInput, match="neither `identity` nor `password`"):
        remote.tip()
