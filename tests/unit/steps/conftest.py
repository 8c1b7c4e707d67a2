"""A project with a tiny model of its own: the steps must know no particular one. Its words are its labels."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from coalmine.settings import Settings

WORKLOAD = """
from coalmine.steps.workload import Row

WORDS = {1: ("good", "fine", "great", "nice"), 0: ("bad", "poor", "awful", "sad")}


class Toy:
    labels = ("no", "yes")
    domains = ("shop", "film")

    def rows(self, domains, *, split):
        return [
            Row(f"{word} {domain} {split} {number}", label, 1.0, domain, f"{domain}/{split}/{number}")
            for domain in domains for number in range(10) for label in (0, 1) for word in WORDS[label]
        ]

    def fit(self, rows, *, seed, options):
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        turned = options.get("turned", False)
        labels = [1 - row.label if turned else row.label for row in rows]
        # The same bytes in each process: words in the order of a set, and where the stop words lie, would differ.
        words = sorted({word for row in rows for word in row.text.lower().split() if len(word) > 1})
        model = make_pipeline(CountVectorizer(vocabulary=words), LogisticRegression(random_state=seed))
        model.fit([row.text for row in rows], labels)
        vars(model[0]).pop("_stop_words_id", None)
        return model

    def refit(self, estimator, rows, *, seed, options):
        estimator[-1].set_params(warm_start=True)
        estimator[-1].fit(estimator[:-1].transform([row.text for row in rows]), [row.label for row in rows])
        return estimator


workload = Toy()
"""
GATES = """
schema: 1
floors:
  shop: {accuracy: 0.9, recall_no: 0.8}
champion: {no_worse_by: 0.02, slices: [shop, film]}
"""
SERVICE = """
import bentoml


@bentoml.service
class Toy:
    @bentoml.api
    def predict(self, text: str) -> str:
        return text
"""


@pytest.fixture(scope="session")
def make_project() -> Callable[[Path], Settings]:
    def make(root: Path) -> Settings:
        folder = root / "bentos" / "toy"
        folder.mkdir(parents=True)
        (folder / "workload.py").write_text(WORKLOAD)
        (folder / "gates.yaml").write_text(GATES)
        (folder / "service.py").write_text(SERVICE)
        (root / ".gitignore").write_text("__pycache__/\n")
        git(root, "init", "-q", "-b", "main")
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", "start")
        return Settings(project=root, state=root / ".coalmine", model="toy")

    return make


def git(root: Path, *arguments: str) -> str:
    names = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    done = subprocess.run(["git", "-C", str(root), *names, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def commit() -> Callable[[Path, str], str]:
    def make(root: Path, message: str) -> str:
        git(root, "add", ".", ":!.coalmine")
        git(root, "commit", "-q", "-m", message)
        return git(root, "rev-parse", "HEAD")

    return make


@pytest.fixture
def settings(make_project: Callable[[Path], Settings], tmp_path: Path) -> Settings:
    return make_project(tmp_path / "project")
