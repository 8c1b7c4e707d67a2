"""A push and its hook: what is refused, with which words, and what two pushes in a row lead to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coalmine.local.scene import People
from coalmine.records import Outcome, ReleaseId
from coalmine.release import file as release_file
from coalmine.release.git import Repository
from e2e.runtime import Runtime

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("calm")]
CANARY = "flagger/sentiment/canary.yaml"
POLICY = "flagger/sentiment/policy.yaml"
RELEASE = "gitops/apps/sentiment/release/local/kustomization.yaml"


def _edit(at: str, old: str, new: str) -> Callable[[Runtime], tuple[str, ...]]:
    def push(runtime: Runtime) -> tuple[str, ...]:
        text = (runtime.checkout / at).read_text()
        assert old in text
        runtime.commit(at, text.replace(old, new, 1), why="an edit")
        return ("HEAD:main",)

    return push


def _unknown(runtime: Runtime) -> tuple[str, ...]:
    runtime.commit(RELEASE, _file("m9-0123456"), why="a release from nowhere")
    return ("HEAD:main",)


def _rewritten(runtime: Runtime) -> tuple[str, ...]:
    runtime.git("reset", "--quiet", "--hard", "HEAD~1")
    runtime.commit("NOTES", "another past\n", why="another past")
    return ("--force", "HEAD:main")


@pytest.mark.parametrize(
    ("push", "said"),
    [
        (_unknown, (RELEASE, "m9-0123456 is not known", "coalmine package")),
        (_edit(RELEASE, "newTag", "newTag "), (RELEASE, "not the rendering", "coalmine release")),
        (_edit(CANARY, "stepWeights: [5, 10, 25, 50]", "stepWeights: [5, 500]"), (CANARY, "stepWeights", "")),
        (_edit(CANARY, "analysis:", "analysis:\n    intervall: 1s"), (CANARY, "intervall", "")),
        (_edit(POLICY, "minimum_seconds: 3", "minimum_seconds: soon"), (POLICY, "minimum_seconds", "")),
        (_edit(POLICY, "drills: true", "drills: true\nalphabet: 1"), (POLICY, "alphabet", "")),
        (lambda _: (":main",), ("refs/heads/main", "cannot be deleted", "push another branch")),
        (_rewritten, ("refs/heads/main", "cannot be rewritten", "without --force")),
    ],
    ids=["unknown", "edited", "weights", "canary-field", "policy-value", "policy-field", "deleted", "forced"],
)
def test_a_bad_push_is_refused_in_its_own_output(
    runtime: Runtime, push: Callable[[Runtime], tuple[str, ...]], said: tuple[str, ...]
) -> None:
    """File, field and remedy are named, and nothing has changed: not main, not the rollout."""
    runtime.pull()
    before = (runtime.main(), runtime.attempt(), runtime.rollout()["primary"])
    try:
        done = Repository(runtime.checkout).attempt("push", "coalmine", *push(runtime))
    finally:
        runtime.pull()
    assert done.code != 0, done.text
    assert "coalmine: refused: " in done.text
    assert "remedy: " in done.text
    for words in said:
        assert words in done.text
    assert (runtime.main(), runtime.attempt(), runtime.rollout()["primary"]) == before


def test_of_two_pushes_in_one_second_the_last_one_wins(runtime: Runtime, people: People) -> None:
    """The first is never tried, or superseded on the spot; main and serving agree afterwards, nobody lost anything."""
    before, attempt = runtime.rollout()["primary"], runtime.attempt()
    first, second = runtime.build(2), runtime.build(2)
    runtime.pull()
    commits = [
        runtime.commit(RELEASE, _file(release, faults), why=f"release {release}")
        for release, faults in ((first, ""), (second, "error_rate=0.4"))
    ]
    for commit in commits:  # some tenths of a second apart, each as long as its own check takes
        runtime.git("push", "--quiet", "coalmine", f"{commit}:main")
    last = runtime.wait("the second", lambda: str(runtime.candidate()) == second and runtime.attempt(), seconds=20)
    ending = runtime.ended(last)
    assert (str(ending.release), ending.outcome) == (second, Outcome.ROLLED_BACK), ending.reason
    for other in runtime.store.endings(runtime.settings.model, after=attempt):
        if other.attempt != last:
            assert (str(other.release), other.outcome) == (first, Outcome.SUPERSEDED)
            assert runtime.cost(other).failed == 0
    assert (runtime.named(), runtime.rollout()["primary"]) == (before, before)
    assert people.seen()["lost"] == 0


def _file(release: str, faults: str = "") -> str:
    return release_file.render(release_file.ReleaseFile("sentiment", "local", ReleaseId.parse(release), faults))
