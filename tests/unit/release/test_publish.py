"""`release` makes one commit of one file; what the push check refuses has not happened in the checkout."""

from __future__ import annotations

import pytest

from coalmine.errors import BadInput, Refused, Temporary
from coalmine.release.file import ReleaseFile, render
from coalmine.release.heal import heal
from coalmine.release.publish import release

from .conftest import AT, M1, M2, M3, Site


def snapshot(site: Site) -> tuple[str, ...]:
    """Everything a person could notice in the checkout."""
    return (
        site.checkout.run("rev-parse", "HEAD"),
        site.checkout.run("status", "--porcelain=v2", "--branch"),
        site.checkout.run("diff"),
        site.checkout.run("diff", "--cached"),
    )


def test_one_commit_of_one_file_with_its_lineage(site: Site) -> None:
    site.know(M1)
    sha = release(site.settings, M1, checkout=site.checkout.path)
    assert sha == site.main == site.checkout.commit("HEAD")
    assert site.checkout.run("show", "--name-only", "--format=", "HEAD").split() == [AT]
    assert (site.checkout.path / AT).read_text(encoding="utf-8") == render(ReleaseFile("sentiment", "local", M1))
    said = site.checkout.run("log", "-1", "--format=%B")
    assert said.startswith(f"release sentiment {M1}\n")
    assert all(part in said for part in ("run run1", "dataset data1", "bento1"))
    assert site.checkout.run("status", "--porcelain") == ""


def test_a_version_means_its_newest_release(site: Site) -> None:
    site.know(M1)
    release(site.settings, 1, checkout=site.checkout.path)
    assert site.deployed() == render(ReleaseFile("sentiment", "local", M1))


def test_latest_means_the_one_built_last(site: Site) -> None:
    site.know(M2)
    site.know(M1)
    release(site.settings, "latest", checkout=site.checkout.path)
    assert site.deployed() == render(ReleaseFile("sentiment", "local", M2))


def test_an_unknown_version_names_those_that_are(site: Site) -> None:
    site.know(M1)
    with pytest.raises(BadInput, match="m1-abc1234"):
        release(site.settings, 4, checkout=site.checkout.path)


def test_released_twice_is_released_once(site: Site) -> None:
    site.know(M1)
    sha = release(site.settings, M1, checkout=site.checkout.path)
    assert release(site.settings, M1, checkout=site.checkout.path) == sha
    assert site.bare.run("rev-list", "--count", "main").strip() == "2"


def test_staged_and_unstaged_work_stays_as_it_is(site: Site) -> None:
    site.know(M1)
    site.write("staged.txt", "staged\n")
    site.checkout.run("add", "staged.txt")
    site.write("bentos/sentiment/service.py", "# being edited\n")
    site.write("untracked.txt", "x\n")
    before = site.checkout.run("status", "--porcelain")
    release(site.settings, M1, checkout=site.checkout.path)
    assert site.checkout.run("status", "--porcelain") == before
    assert site.checkout.run("show", "--name-only", "--format=", "HEAD").split() == [AT]


def test_a_refusal_shows_the_checks_words_and_leaves_the_checkout_as_it_was(site: Site) -> None:
    site.runs(M1)
    site.checkout.run("fetch", "--quiet", "coalmine", "+main:refs/remotes/coalmine/main")
    site.know(M2)
    site.ledger.quarantine("sentiment", M2, attempt=2, reason="errors: 31 of 400")
    site.write("staged.txt", "staged\n")
    site.checkout.run("add", "staged.txt")
    before, main = snapshot(site), site.main
    with pytest.raises(Refused, match=r"(?s)quarantined since attempt 2: errors: 31 of 400.*--force"):
        release(site.settings, M2, checkout=site.checkout.path)
    assert snapshot(site) == before
    assert site.main == main


def test_forcing_lifts_the_quarantine(site: Site) -> None:
    site.runs(M1)
    site.know(M2)
    site.ledger.quarantine("sentiment", M2, attempt=2, reason="errors")
    said: list[str] = []
    sha = release(site.settings, M2, checkout=site.checkout.path, force="the disk was\nfull", say=said.append)
    assert site.main == sha
    assert any("quarantine lifted: the disk was full" in line for line in said)


def test_on_top_of_a_healing_commit_that_this_checkout_has_not_seen(site: Site) -> None:
    site.runs(M1)
    site.know(M2)
    failed = release(site.settings, M2, checkout=site.checkout.path)
    healed = heal(site.settings, site.ending(M2, M1, failed))
    site.know(M3)
    sha = release(site.settings, M3, checkout=site.checkout.path)
    assert site.bare.commit(f"{sha}^") == healed
    assert site.checkout.commit("HEAD") == sha


def test_own_commits_and_a_healing_commit_both_reach_main(site: Site) -> None:
    """The release's id names a commit of this checkout: without it on main its source could not be found again."""
    site.runs(M1)
    site.know(M2)
    failed = release(site.settings, M2, checkout=site.checkout.path)
    healed = heal(site.settings, site.ending(M2, M1, failed))
    site.write("bentos/sentiment/service.py", "# better\n")
    own = site.commit("better")
    site.know(M3)
    sha = release(site.settings, M3, checkout=site.checkout.path)
    assert healed is not None
    assert site.bare.ancestor(healed, sha)
    assert site.bare.ancestor(own, sha)
    assert site.deployed() == render(ReleaseFile("sentiment", "local", M3))
    assert site.checkout.commit("HEAD") == sha


def test_histories_that_clash_are_left_to_the_person(site: Site) -> None:
    site.runs(M1)
    site.write("notes.txt", "theirs\n")
    base = site.checkout.commit("HEAD") or ""
    site.commit()
    site.push()
    site.checkout.run("reset", "--quiet", "--hard", base)
    site.write("notes.txt", "ours\n")
    site.commit()
    site.know(M2)
    before = snapshot(site)
    with pytest.raises(BadInput, match=r"(?s)diverged in notes.txt.*pull --rebase"):
        release(site.settings, M2, checkout=site.checkout.path)
    assert snapshot(site)[1:] == before[1:]


def test_a_release_file_edited_by_hand_is_not_overwritten(site: Site) -> None:
    site.runs(M1)
    site.know(M2)
    site.write(AT, "mine\n")
    with pytest.raises(BadInput, match="edited by hand"):
        release(site.settings, M2, checkout=site.checkout.path)


def test_a_checkout_without_the_remote_is_told_how_to_get_it(site: Site) -> None:
    site.know(M1)
    site.checkout.run("remote", "remove", "coalmine")
    with pytest.raises(BadInput, match="coalmine up"):
        release(site.settings, M1, checkout=site.checkout.path)


def test_a_repository_that_is_gone_is_temporary(site: Site) -> None:
    site.know(M1)
    site.bare.path.rename(site.bare.path.with_name("away"))
    with pytest.raises(Temporary, match="does not answer"):
        release(site.settings, M1, checkout=site.checkout.path)


def test_faults_are_written_in_their_one_spelling(site: Site) -> None:
    site.write("flagger/sentiment/policy.yaml", "drills: true\n")
    site.commit()
    site.know(M1)
    release(site.settings, M1, checkout=site.checkout.path, faults=" delay_ms=200 , error_rate=0.050")
    assert site.deployed() == render(ReleaseFile("sentiment", "local", M1, "error_rate=0.05,delay_ms=200"))
