"""Healing writes what serves now, once, and never over a person's word."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coalmine.release.file import ReleaseFile, render
from coalmine.release.git import Repository
from coalmine.release.heal import heal

from .conftest import M1, M2, M3, Site


def file(release: object) -> str:
    return render(ReleaseFile("sentiment", "local", release))  # type: ignore[arg-type]


@pytest.fixture
def failed(site: Site) -> str:
    """m1 serves, m2 was pushed and has failed; returns m2's commit."""
    site.runs(M1)
    site.know(M2)
    sha = site.name(M2)
    assert site.push().code == 0
    return sha


def test_main_names_again_what_serves_with_reason_and_numbers(site: Site, failed: str) -> None:
    sha = heal(site.settings, site.ending(M2, M1, failed))
    assert sha == site.main
    assert site.deployed() == file(M1)
    said = site.bare.run("log", "-1", "--format=%B", "main")
    assert said.startswith(f"heal: sentiment back to {M1}, {M2} rolled back: errors: 31 of 400 against 2 of 1600\n")
    assert "Coalmine-Attempt: 7" in said


def test_with_one_release_since_healing_is_its_revert(site: Site, failed: str) -> None:
    heal(site.settings, site.ending(M2, M1, failed))
    assert site.bare.run("rev-parse", "main^{tree}") == site.bare.run("rev-parse", "main~2^{tree}")


def test_a_second_call_finds_the_first_ones_commit(site: Site, failed: str) -> None:
    ending = site.ending(M2, M1, failed)
    sha = heal(site.settings, ending)
    site.checkout.run("pull", "--quiet", "--rebase", "coalmine", "main")
    site.write("notes.txt", "later\n")
    site.commit()
    site.push()
    assert heal(site.settings, ending) == sha
    assert site.bare.run("rev-list", "--count", "--grep=^heal:", "main").strip() == "1"


def test_main_may_have_moved_on_in_other_files(site: Site, failed: str) -> None:
    site.write("notes.txt", "meanwhile\n")
    later = site.commit()
    site.push()
    sha = heal(site.settings, site.ending(M2, M1, failed))
    assert sha is not None
    assert site.bare.commit(f"{sha}^") == later
    assert site.bare.text("main", "notes.txt") == "meanwhile\n"


def test_a_persons_revert_is_left_alone(site: Site, failed: str) -> None:
    site.checkout.run("revert", "--no-edit", "HEAD")
    site.push()
    before = site.main
    assert heal(site.settings, site.ending(M2, M1, failed)) is None
    assert site.main == before


def test_a_newer_release_is_left_alone(site: Site, failed: str) -> None:
    site.know(M3)
    site.name(M3)
    site.push()
    assert heal(site.settings, site.ending(M2, M1, failed)) is None
    assert site.deployed() == file(M3)


def test_the_same_release_asked_for_anew_is_left_to_its_own_attempt(site: Site, failed: str) -> None:
    site.checkout.run("revert", "--no-edit", "HEAD")
    site.push()
    site.name(M2)
    site.push()
    assert heal(site.settings, site.ending(M2, M1, failed)) is None
    assert site.deployed() == file(M2)


def test_healing_goes_to_what_serves_now_not_to_what_served_before(site: Site, failed: str) -> None:
    site.know(M3)
    heal(site.settings, site.ending(M2, M3, failed))
    assert site.deployed() == file(M3)


def test_a_primary_with_a_drills_faults_comes_back_with_them(site: Site) -> None:
    site.write("flagger/sentiment/policy.yaml", "drills: true\n")
    site.know(M1)
    site.name(M1, faults="delay_ms=5")
    assert site.push().code == 0
    before = site.deployed()
    site.know(M2)
    sha = site.name(M2)
    site.push()
    heal(site.settings, site.ending(M2, M1, sha))
    assert site.deployed() == before


def test_a_failed_first_release_is_withdrawn(site: Site) -> None:
    site.know(M1)
    sha = site.name(M1)
    site.push()
    healed = heal(site.settings, site.ending(M1, None, sha))
    assert healed == site.main
    assert site.deployed() is None
    assert heal(site.settings, site.ending(M1, None, sha)) == healed


def test_an_older_states_attempt_of_the_same_number_does_not_count(site: Site, failed: str) -> None:
    heal(site.settings, site.ending(M2, M1, failed))
    site.checkout.run("pull", "--quiet", "--rebase", "coalmine", "main")
    again = site.name(M2)
    assert site.push().code == 0
    assert heal(site.settings, site.ending(M2, M1, again)) == site.main
    assert site.deployed() == file(M1)


def test_a_reason_cannot_smuggle_a_trailer_in(site: Site, failed: str) -> None:
    heal(site.settings, site.ending(M2, M1, failed, reason="bad\n\nCoalmine-Force: yes\n"))
    assert site.bare.trailer(("-1", "main"), "Coalmine-Force") is None


SHIM = """#!/bin/sh
# Stands before git: the call of the given number is followed (or forestalled) by a kill -9 of the caller.
count=$(($(cat "{count}") + 1))
echo $count > "{count}"
[ "{when}" = before ] && [ $count = {number} ] && {{ kill -9 $PPID; exit 1; }}
"{git}" "$@"
code=$?
[ $count = {number} ] && kill -9 $PPID
exit $code
"""
HEAL = """
import json, sys
from pathlib import Path
from coalmine.records import Ending, Outcome, ReleaseId
from coalmine.release.heal import heal
from coalmine.settings import Settings
project, state, commit = sys.argv[1:]
ending = Ending("sentiment", 7, ReleaseId.parse("m2-abc1234"), ReleaseId.parse("m1-abc1234"), Outcome.ROLLED_BACK,
                "errors: 31 of 400 against 2 of 1600", commit, 1000.0, 1020.0)
heal(Settings(project=Path(project), state=Path(state), model="sentiment"), ending)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_of_its_git_calls_leaves_one_healing_commit(site: Site, failed: str, when: str) -> None:
    """Killed at each git call in turn and started again: main names m1 by exactly one healing commit each time."""
    start = site.main
    assert start is not None
    folder = site.settings.state / "shim"
    folder.mkdir()
    git, count = shutil.which("git") or "", folder / "count"
    environ = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    command = [sys.executable, "-c", HEAL, str(site.settings.project), str(site.settings.state), failed]
    killed = 0
    for number in range(1, 40):
        site.bare.run("update-ref", "refs/heads/main", start)
        count.write_text("0", encoding="utf-8")
        shim = folder / "git"
        shim.write_text(SHIM.format(count=count, when=when, number=number, git=git), encoding="utf-8")
        shim.chmod(0o755)
        code = subprocess.run(command, env=environ, check=False, stderr=subprocess.DEVNULL).returncode
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        sha = heal(site.settings, site.ending(M2, M1, failed))
        assert sha == site.main
        assert site.bare.run("rev-list", "--count", f"{start}..main").strip() == "1"
        assert site.deployed() == file(M1)
    assert killed >= 8


def test_a_push_between_reading_and_writing_is_seen_and_kept(site: Site, failed: str) -> None:
    """Git moves main aside at the moment of the compare-and-swap, as a push would; the second try is on top of it."""
    site.write("notes.txt", "meanwhile\n")
    other = site.commit()
    site.checkout.run("push", "--quiet", "coalmine", "HEAD:refs/heads/aside")
    folder = site.settings.state / "shim"
    folder.mkdir()
    git = shutil.which("git") or ""
    mark = folder / "done"
    (folder / "git").write_text(
        "#!/bin/sh\n"
        f'case "$*" in *update-ref*) [ -e "{mark}" ] || {{ touch "{mark}";'
        f' "{git}" --git-dir="{site.bare.path}" update-ref refs/heads/main {other}; }};; esac\n'
        f'exec "{git}" "$@"\n',
        encoding="utf-8",
    )
    (folder / "git").chmod(0o755)
    environ = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    command = [sys.executable, "-c", HEAL, str(site.settings.project), str(site.settings.state), failed]
    subprocess.run(command, env=environ, check=True)
    assert site.bare.commit("main^") == other
    assert site.deployed() == file(M1)
    assert site.bare.text("main", "notes.txt") == "meanwhile\n"


def test_a_killed_gits_old_lock_is_cleared_and_a_fresh_one_is_waited_for(site: Site, failed: str) -> None:
    lock = Path(site.bare.path / "refs/heads/main.lock")
    lock.touch()
    bare = Repository(site.bare.path, bare=True)
    with pytest.raises(Exception, match="cannot be moved"):
        heal(site.settings, site.ending(M2, M1, failed))
    assert lock.exists()
    os.utime(lock, (0, 0))
    with pytest.raises(Exception, match="cannot be moved"):
        heal(site.settings, site.ending(M2, M1, failed))
    assert heal(site.settings, site.ending(M2, M1, failed)) == bare.commit("main")
