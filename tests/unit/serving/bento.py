"""A built Bento of the example service around a tiny model, laid out as `bentoml build` does it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from coalmine.release import manifest

SERVICE = Path(__file__).parents[3] / "bentos" / "sentiment" / "service.py"
GOOD = ("a lovely day", "great, I love it", "this is wonderful", "happy and good")
BAD = ("an awful day", "terrible, I hate it", "this is broken", "sad and bad")
_YAML = """\
service: service:Sentiment
name: sentiment
version: test
bentoml_version: 1.4.39
creation_time: '2024-01-01T00:00:00+00:00'
labels: {}
models: []
entry_service: sentiment
services:
- name: sentiment
  service: ''
  models: []
  dependencies: []
  config: {workers: 1}
envs: []
schema: {name: sentiment, type: service, routes: []}
args: {}
spec: 2
image:
  base_image: python:3.11-slim
  python_version: '3.11'
  commands: []
  python_requirements: ''
  post_commands: []
  build_include: []
"""


def build(folder: Path, *, release: str = "m1-abcdef1", **other: str) -> Path:
    """Lay out a Bento in `folder`; `other` replaces fields of release.json."""
    model = folder / "src" / "model"
    model.mkdir(parents=True)
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    pipeline.fit([*GOOD, *BAD], [1] * len(GOOD) + [0] * len(BAD))
    joblib.dump(pipeline, model / "pipeline.joblib")
    row = {
        "release": release,
        "model": "sentiment",
        "version": 1,
        "run_id": "r",
        "dataset_digest": "d",
        "git_sha": "abcdef1",
        **manifest.installed(),
        **other,
    }
    (model / manifest.NAME).write_text(json.dumps(row))
    shutil.copy(SERVICE, folder / "src" / "service.py")
    (folder / "bento.yaml").write_text(_YAML)
    return folder
