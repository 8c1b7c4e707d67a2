"""The check of a forge: no ledger, so signatures say what is known and main's own history what is in quarantine.

The signatures are a table here; `tests/cluster/test_images_own.py` asks cosign about real ones.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coalmine.errors import BadInput, CoalmineError, Refused, Temporary
from coalmine.records import ReleaseId
from coalmine.release.check import Check, examine
from coalmine.release.file import ReleaseFile, path, render
from coalmine.release.git import NOTHING, Repository
from coalmine.release.heal import message
from coalmine.release.known import Signed

from .conftest import M1, M2, Site

AT = path("sentiment", "production")
IMAGE = "ghcr.io/acme/sentiment"
HEALED = "heal: sentiment back to {to}\n\nCoalmine-Model: sentiment\nCoalmine-Failed: {of}\nCoalmine-Restored: {to}\n"


def digest(release: ReleaseId) -> str:
    return f"sha256:{release.version:064x}"


def named(release: ReleaseId, **changed: str) -> str:
    values = {"faults": "", "image": IMAGE, "digest": digest(release)} | changed
    return render(ReleaseFile("sentiment", "production", release, **values))


class Forge:
    """A repository whose main moves only to what the check lets through; `signed` holds the digests that are."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.signed = {digest(M1), digest(M2)}
        self.asked: list[str] = []
        self.down = False
        site.write("gitops/apps/sentiment/overlays/production/kustomization.yaml", "kind: Kustomization\n")
        self.main = site.commit("an environment")

    def verify(self, file: ReleaseFile) -> None:
        self.asked.append(file.digest)
        if self.down:
            raise Temporary("the registry does not answer")
        if file.digest not in self.signed or file.digest != digest(file.release):
            raise Refused("is not signed", where=f"{file.image}@{file.digest}", remedy="coalmine image sign")

    def check(self, clone: Repository | None = None) -> Check:
        repository = clone or self.site.checkout
        return Check(repository, Signed(repository, self.verify), "production", overlays_needed=False)

    def commit(self, text: str, why: str = "release") -> str:
        self.site.write(AT, text)
        return self.site.commit(why)

    def refused(self, new: str = "HEAD", *, old: str | None = None) -> list[CoalmineError]:
        return examine(self.check(), self.main if old is None else old, new)

    def lands(self, text: str, why: str = "release") -> None:
        self.commit(text, why)
        assert self.refused() == []
        self.main = self.site.checkout.run("rev-parse", "HEAD").strip()


@pytest.fixture
def forge(site: Site) -> Forge:
    return Forge(site)


def test_a_signed_release_may_land_also_where_nothing_came_before(forge: Forge) -> None:
    forge.lands(named(M1))
    assert examine(forge.check(), NOTHING, "HEAD") == []
    assert examine(forge.check(), "", "HEAD") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lambda: named(M1, digest=f"sha256:{'0b' * 32}"), "is not signed"),
        (lambda: named(M2, digest=digest(M1)), "is not signed"),  # a signed image, as another release
        (lambda: named(M1, image="", digest=""), "names no image by digest"),
        (lambda: named(M1) + "# a note\n", "not the rendering"),
        (lambda: named(M1).replace("m1-", "m2-", 1), "model-version"),
    ],
    ids=["unsigned", "another release", "no image", "bytes", "fields"],
)
def test_what_is_not_a_signed_release_is_refused_by_file(forge: Forge, text: Callable[[], str], said: str) -> None:
    forge.commit(text())
    refusals = forge.refused()
    assert refusals
    assert any(said in str(refusal) for refusal in refusals), refusals
    assert all(refusal.remedy for refusal in refusals)


def test_an_unsigned_release_between_two_commits_is_refused(forge: Forge) -> None:
    """Else it would be history after the push, and history is believed: a second push could then restore it."""
    forge.lands(named(M1))
    bad = named(M2, digest=f"sha256:{'0b' * 32}")
    forge.commit(bad)
    forge.commit(named(M1))
    assert any("is not signed" in str(refusal) for refusal in forge.refused())
    forge.commit(named(M2))
    assert any("is not signed" in str(refusal) for refusal in forge.refused())


def test_going_back_asks_no_registry(forge: Forge) -> None:
    forge.lands(named(M1))
    forge.lands(named(M2))
    forge.down = True
    forge.lands(named(M1), "back")
    forge.commit(named(ReleaseId(3, "abc1234")))
    (refusal,) = forge.refused()
    assert isinstance(refusal, Temporary)
    assert refusal.where == AT


def test_a_release_that_was_healed_away_is_refused_until_a_commit_says_why(forge: Forge) -> None:
    forge.lands(named(M1))
    forge.lands(named(M2))
    forge.lands(named(M1), HEALED.format(of=M2, to=M1))
    forge.commit(named(M2), "again")
    (refusal,) = forge.refused()
    assert "m2-abc1234 is quarantined since" in str(refusal)
    assert "Coalmine-Force" in refusal.remedy
    forge.commit(named(M1), "no")
    forge.lands(named(M2), "again\n\nCoalmine-Force: the network was down")
    forge.lands(named(M1), HEALED.format(of=M2, to=M1))
    forge.commit(named(M2), "once more")
    assert "is quarantined" in str(forge.refused()[0])  # the earlier force is older than the latest failure


def test_the_healers_own_message_is_what_quarantines(forge: Forge) -> None:
    """The words that heal.py writes are those that are looked for."""
    forge.lands(named(M1))
    forge.lands(named(M2))
    forge.lands(named(M1), message(forge.site.ending(M2, M1, forge.main)))
    forge.commit(named(M2))
    assert "is quarantined since" in str(forge.refused()[0])


def test_a_force_without_a_reason_lifts_nothing(forge: Forge) -> None:
    forge.lands(named(M1))
    forge.lands(named(M2))
    forge.lands(named(M1), HEALED.format(of=M2, to=M1))
    forge.commit(named(M2), "again\n\nCoalmine-Force:")
    assert {"gives no reason" in str(one) or "is quarantined" in str(one) for one in forge.refused()} == {True}


def test_another_release_may_follow_a_failed_one(forge: Forge) -> None:
    forge.signed.add(digest(ReleaseId(3, "abc1234")))
    forge.lands(named(M1))
    forge.lands(named(M2))
    forge.lands(named(M1), HEALED.format(of=M2, to=M1))
    forge.lands(named(ReleaseId(3, "abc1234")))


def test_a_clone_without_history_cannot_answer(forge: Forge) -> None:
    """A workflow's usual checkout is one commit deep: each release would look as if it had never failed."""
    forge.lands(named(M1))
    forge.commit(named(M2))
    shallow = Repository(forge.site.checkout.path.parent / "shallow")
    source = f"file://{forge.site.checkout.path}"
    forge.site.checkout.run("clone", "--quiet", "--depth=2", source, str(shallow.path))
    assert any("history is cut off" in str(one) for one in examine(forge.check(shallow), "HEAD~1", "HEAD"))


def test_a_commit_that_is_not_here_is_named(forge: Forge) -> None:
    with pytest.raises(BadInput, match="no commit 1234567"):
        examine(forge.check(), "1234567", "HEAD")


def test_the_release_file_goes_only_with_its_model_or_by_healing(forge: Forge) -> None:
    forge.lands(named(M1))
    forge.site.checkout.run("rm", "--quiet", AT)
    forge.site.commit("away")
    assert any("deleting its release file" in str(one) for one in forge.refused())
    forge.site.checkout.run("commit", "--quiet", "--amend", "-m", HEALED.format(of=M1, to="none"))
    assert forge.refused() == []


def test_a_signed_image_is_refused_on_one_machine(site: Site) -> None:
    site.know(M1)
    at = path("sentiment", "local")
    site.write(at, render(ReleaseFile("sentiment", "local", M1, image=IMAGE, digest=digest(M1))))
    site.commit()
    done = site.push()
    assert done.code
    assert "names an image, and this machine runs none" in done.text
