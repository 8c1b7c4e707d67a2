"""Each promise of the push check, through a real `git push`: refused in the push's own output, with the remedy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from coalmine.judge.policy import load_policy
from coalmine.release.file import LIMIT, ReleaseFile, path, render
from coalmine.release.git import Done
from coalmine.release.tree import pushed_policy

from .conftest import AT, M1, M2, M3, Site


def refused(done: Done, *said: str) -> None:
    assert done.code != 0
    text = " ".join(line.removeprefix("remote:").strip() for line in done.text.splitlines())
    assert "coalmine: refused:" in text
    assert "remedy:" in text
    for part in said:
        assert part in text, text


def test_a_known_release_is_accepted_at_the_first_push(site: Site) -> None:
    site.know(M1)
    sha = site.name(M1)
    assert site.push().code == 0
    assert site.main == sha


def test_an_unknown_release_is_refused_and_the_known_ones_are_named(site: Site) -> None:
    site.know(M1)
    site.name(M2)
    refused(site.push(), AT, f"{M2} is not known", str(M1), "coalmine package")
    assert site.main is None


def test_other_branches_are_free(site: Site) -> None:
    site.name(M2)
    assert site.push("HEAD:refs/heads/draft").code == 0


def test_one_bad_ref_refuses_all_of_a_push(site: Site) -> None:
    site.name(M2)
    refused(site.push("HEAD:refs/heads/draft", "HEAD:main"), "not known")
    assert site.bare.commit("refs/heads/draft") is None


def test_an_edited_release_file_is_refused_even_where_it_means_the_same(site: Site) -> None:
    site.know(M1)
    site.write(AT, render(ReleaseFile("sentiment", "local", M1)) + "# a note\n")
    site.commit()
    refused(site.push(), AT, "not the rendering", "coalmine release")


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("m1-abc1234", "latest", "coalmine.dev/release"),
        ('model-version: "1"', 'model-version: "2"', "coalmine.dev/model-version"),
        ("kind: Component", "kind: Kustomization", "kind"),
        ("kind: Component", "kind: [", "line 6"),
        ('name: "sentiment"', 'name: "other"', "images[0].name"),
    ],
)
def test_a_broken_release_file_is_refused_by_field(site: Site, old: str, new: str, field: str) -> None:
    site.know(M1)
    site.write(AT, render(ReleaseFile("sentiment", "local", M1)).replace(old, new))
    site.commit()
    refused(site.push(), AT, field)


def test_a_release_file_too_long_or_no_text_is_refused(site: Site) -> None:
    site.write(AT, "x" * 5000)
    site.commit()
    refused(site.push(), AT, f"more than {LIMIT}")
    (site.checkout.path / AT).write_bytes(b"\xff\xfe\x00")
    site.commit()
    refused(site.push(), AT)


def test_a_symlink_in_place_of_the_release_file_is_refused(site: Site) -> None:
    site.know(M1)
    site.write("elsewhere.yaml", render(ReleaseFile("sentiment", "local", M1)))
    (site.checkout.path / AT).parent.mkdir(parents=True)
    (site.checkout.path / AT).symlink_to("../../../../../elsewhere.yaml")
    site.commit()
    refused(site.push(), AT, "a symbolic link")


def test_a_symlink_in_place_of_the_release_folder_is_refused(site: Site) -> None:
    site.runs(M1)
    folder = (site.checkout.path / AT).parent
    folder.rename(site.checkout.path / "moved")
    folder.symlink_to("../../../../moved")
    site.commit()
    refused(site.push(), "gitops/apps/sentiment/release/local", "must be a folder")


def test_a_submodule_in_place_of_the_release_folder_is_refused(site: Site) -> None:
    sha = site.runs(M1)
    site.checkout.run("rm", "--quiet", "-r", "--cached", "gitops/apps/sentiment/release/local")
    site.checkout.run("update-index", "--add", "--cacheinfo", f"160000,{sha},gitops/apps/sentiment/release/local")
    site.checkout.run("commit", "--quiet", "-m", "submodule")
    refused(site.push(), "gitops/apps/sentiment/release/local", "a submodule")


def test_an_executable_release_file_is_refused(site: Site) -> None:
    site.know(M1)
    site.name(M1)
    (site.checkout.path / AT).chmod(0o755)
    site.commit()
    refused(site.push(), AT, "100755")


def test_anything_else_in_a_release_folder_is_refused(site: Site) -> None:
    site.write("gitops/apps/sentiment/release/local/patch.yaml", "kind: Deployment\n")
    site.commit()
    refused(site.push(), "release/local/patch.yaml", "nothing else")


def test_a_release_file_of_an_unknown_model_is_refused(site: Site) -> None:
    site.write(path("weather", "local"), render(ReleaseFile("weather", "local", M1)))
    site.commit()
    refused(site.push(), "no model weather", "sentiment")


def test_a_release_file_of_an_unknown_environment_is_refused(site: Site) -> None:
    site.know(M1)
    site.write(path("sentiment", "moon"), render(ReleaseFile("sentiment", "moon", M1)))
    site.commit()
    refused(site.push(), "no environment moon")
    site.write("gitops/apps/sentiment/overlays/moon/kustomization.yaml", "kind: Kustomization\n")
    site.commit()
    site.name(M1)
    done = site.push()
    assert done.code == 0, done.text


def test_main_cannot_be_deleted_or_rewritten(site: Site) -> None:
    sha = site.runs(M1)
    refused(site.push("--delete", "main"), "cannot be deleted")
    site.checkout.run("commit", "--quiet", "--amend", "-m", "rewritten")
    refused(site.push("--force", "HEAD:main"), "cannot be rewritten", "git pull --rebase")
    assert site.main == sha


def test_the_last_release_file_cannot_be_deleted_while_it_serves(site: Site) -> None:
    site.runs(M1)
    (site.checkout.path / AT).unlink()
    site.commit()
    refused(site.push(), AT, f"serves {M1}")


def test_a_withdrawn_first_release_may_be_deleted(site: Site) -> None:
    site.runs(M1)
    site.ledger.set_primary("sentiment", None)
    (site.checkout.path / AT).unlink()
    site.commit()
    assert site.push().code == 0


def test_a_quarantined_release_is_refused_and_the_refusal_says_how_to_force_it(site: Site) -> None:
    site.runs(M1)
    site.know(M2)
    site.ledger.quarantine("sentiment", M2, attempt=2, reason="errors: 31 of 400")
    site.name(M2)
    refused(site.push(), "quarantined since attempt 2: errors: 31 of 400", "Coalmine-Force: <why again>")


def test_a_forced_release_goes_through_and_is_recorded(site: Site) -> None:
    site.runs(M1)
    site.know(M2)
    site.ledger.quarantine("sentiment", M2, attempt=2, reason="errors")
    sha = site.name(M2, "release\n\nCoalmine-Force: the network was down")
    done = site.push()
    assert done.code == 0, done.text
    assert "quarantine lifted: the network was down" in done.text
    (entry,) = site.ledger.quarantines("sentiment", M2)
    assert (entry.lifted_by, entry.lifted_because) == (sha, "the network was down")


def test_forcing_without_a_reason_is_refused(site: Site) -> None:
    site.know(M2)
    site.name(M2, "release\n\nCoalmine-Force:")
    refused(site.push(), "gives no reason")


def test_an_earlier_commits_force_does_not_open_a_later_push(site: Site) -> None:
    site.runs(M1)
    site.know(M2)
    site.name(M2, "release\n\nCoalmine-Force: once")
    assert site.push().code == 0
    site.name(M1)
    assert site.push().code == 0
    site.ledger.quarantine("sentiment", M2, attempt=3, reason="again")
    site.name(M2)
    refused(site.push(), "quarantined since attempt 3")


def test_going_back_to_what_serves_always_passes(site: Site) -> None:
    site.runs(M1)
    site.know(M2)
    site.name(M2)
    assert site.push().code == 0
    site.ledger.quarantine("sentiment", M1, attempt=9, reason="should not matter")
    site.checkout.run("revert", "--no-edit", "HEAD")
    assert site.push().code == 0


def test_faults_need_a_policy_that_allows_drills(site: Site) -> None:
    site.know(M1)
    site.name(M1, faults="error_rate=0.05")
    refused(site.push(), AT, "error_rate=0.05", "drills: true")
    site.write("flagger/sentiment/policy.yaml", "drills: true\n")
    site.commit()
    done = site.push()
    assert done.code == 0, done.text


def test_a_fault_of_no_known_name_is_refused(site: Site) -> None:
    site.know(M1)
    site.write("flagger/sentiment/policy.yaml", "drills: true\n")
    site.name(M1, faults="gremlins=1")
    refused(site.push(), AT, "gremlins", "error_rate")


def test_a_broken_canary_is_refused_with_file_and_field(site: Site) -> None:
    at = "flagger/sentiment/canary.yaml"
    text = (site.checkout.path / at).read_text(encoding="utf-8")
    site.write(at, text.replace("provider: gatewayapi:v1", "provider: istio"))
    site.commit()
    refused(site.push(), at, "spec.provider")


def test_a_broken_overlay_is_refused(site: Site) -> None:
    at = "flagger/sentiment/local/canary.yaml"
    text = (site.checkout.path / at).read_text(encoding="utf-8")
    site.write(at, text.replace("interval: 1s", "interval: soon"))
    site.commit()
    refused(site.push(), at, "interval")


@pytest.mark.parametrize("policy", ["alpha: 2\n", "metricz: {}\n", "[", "alpha: [1\n"])
def test_a_broken_policy_is_refused_with_its_line(site: Site, policy: str) -> None:
    site.write("flagger/sentiment/policy.yaml", f"drills: false\n{policy}")
    site.commit()
    refused(site.push(), "flagger/sentiment/policy.yaml:")


def test_a_model_cannot_lose_what_judges_it(site: Site) -> None:
    site.runs(M1)
    (site.checkout.path / "flagger/sentiment/policy.yaml").unlink()
    site.commit()
    refused(site.push(), "flagger/sentiment/policy.yaml", "is missing")


def test_a_policy_may_be_shared_and_is_checked_with_all_that_extend_it(site: Site) -> None:
    """A mistake in the shared one is refused by its own line, though no model's own folder changed."""
    site.write("flagger/shared/policy.yaml", "drills: true\n")
    site.write("flagger/sentiment/policy.yaml", "extends: ../shared/policy.yaml\nalpha: 0.02\n")
    head = site.commit()
    assert site.push().code == 0
    text, policy = pushed_policy(site.checkout, head, "sentiment")
    assert (policy.drills, policy.alpha, load_policy(text)) == (True, 0.02, policy)
    site.write("flagger/shared/policy.yaml", "drills: true\nbeta: 3\n")
    site.commit()
    refused(site.push(), "flagger/shared/policy.yaml", "beta")


@pytest.mark.parametrize(("content", "said"), [(None, "is missing"), ("#" * 300_000, "more than")])
def test_a_shared_policy_that_is_extended_cannot_go_away_or_become_huge(
    site: Site, content: str | None, said: str
) -> None:
    site.write("flagger/shared/policy.yaml", "drills: true\n")
    site.write("flagger/sentiment/policy.yaml", "extends: ../shared/policy.yaml\n")
    site.commit()
    assert site.push().code == 0
    shared = site.checkout.path / "flagger/shared/policy.yaml"
    shared.unlink() if content is None else shared.write_text(content)
    site.commit()
    refused(site.push(), "flagger/shared/policy.yaml", said)


def test_a_model_that_serves_does_not_become_a_shared_policy_by_losing_its_canary(site: Site) -> None:
    site.know(M1)
    site.name(M1)
    assert site.push().code == 0
    (site.checkout.path / "flagger/sentiment/canary.yaml").unlink()
    site.commit()
    refused(site.push(), "canary")


def test_a_linked_policy_is_refused(site: Site) -> None:
    at = site.checkout.path / "flagger/sentiment/policy.yaml"
    at.rename(site.checkout.path / "policy.yaml")
    at.symlink_to("../../policy.yaml")
    site.commit()
    refused(site.push(), "flagger/sentiment/policy.yaml", "a symbolic link")


def test_a_huge_file_is_refused_even_if_a_later_commit_removes_it(site: Site) -> None:
    (site.checkout.path / "model.bin").write_bytes(b"\0" * (11 * 2**20))
    site.commit()
    (site.checkout.path / "model.bin").unlink()
    site.commit()
    refused(site.push(), "model.bin", "11.0 MiB", "registry")


def test_a_merge_is_judged_by_what_it_changes_on_main(site: Site) -> None:
    site.runs(M1)
    site.checkout.run("checkout", "--quiet", "-b", "side")
    site.name(M3)
    site.checkout.run("checkout", "--quiet", "main")
    site.write("notes.txt", "meanwhile\n")
    site.commit()
    site.checkout.run("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    refused(site.push(), f"{M3} is not known")


def test_every_fault_of_a_push_is_said_at_once(site: Site) -> None:
    site.write("flagger/sentiment/policy.yaml", "alpha: 2\n")
    site.name(M2)
    refused(site.push(), "not known", "alpha")


def test_a_hook_whose_interpreter_is_gone_refuses(site: Site) -> None:
    hook = site.bare.path / "hooks" / "pre-receive"
    hook.write_text(hook.read_text(encoding="utf-8").replace("python", "nopython"), encoding="utf-8")
    refused(site.push(), "interpreter", "coalmine up")


def test_a_plain_release_is_checked_without_importing_what_is_slow() -> None:
    """Whoever pushes waits for the check: the engine, the web frameworks and MLflow have no part in it."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import coalmine.release.check, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"numpy", "scipy", "pydantic", "fastapi", "httpx", "requests", "mlflow", "bentoml"} & set(loaded)


def test_a_drill_of_what_serves_is_refused(site: Site) -> None:
    """Both arms would be one release: nothing could tell the canary's outcomes from the primary's."""
    site.write("flagger/sentiment/policy.yaml", "drills: true\n")
    site.runs(M1)
    site.name(M1, faults="error_rate=0.05")
    refused(site.push(), f"{M1} serves now", "coalmine package")
