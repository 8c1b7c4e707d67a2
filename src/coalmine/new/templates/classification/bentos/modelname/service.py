"""The service: POST /predict with a record's fields, or {"records": [...]} -> a label for each.

The fast path is one ASGI application mounted into BentoML: its metrics, probes and configuration stay in force, and
whatever waits is predicted in one batch. scikit-learn is imported when the service starts, not when it is described.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import bentoml

from coalmine.release import fields, manifest
from coalmine.release.answer import Answering
from coalmine.release.drill import Output

NAME = "modelname"
HERE = Path(__file__).parent
FIELDS = fields.read(HERE / "fields.yaml")
LABELS = ("punctual", "late")  # as in data.py, which the service does not import
MOST = 64  # records of one request: as many as one batch


def read(body: Mapping[str, object]) -> list[str]:
    """The records of a request. Raises BadInput naming the field."""
    return FIELDS.items(body, most=MOST)


def wrong(output: Output) -> Output:
    """The opposite answer, for drills."""
    return {"label": LABELS[output["label"] == LABELS[0]], "score": output["score"]}


APP = Answering(read=read, many=fields.MANY, batch=MOST)


@bentoml.service(name=NAME, workers=1, traffic={"timeout": 10}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(APP, path="/")
class ModelName:
    """score: the probability of the second label."""

    def __init__(self) -> None:
        release = manifest.read(HERE / "model")
        manifest.check_environment(release, manifest.installed())
        import joblib  # noqa: PLC0415 (see the module's docstring)

        pipeline = joblib.load(HERE / "model" / "pipeline.joblib")

        def score(items: list[str]) -> list[Output]:
            shares = pipeline.predict_proba(items)[:, 1].tolist()
            return [{"label": LABELS[share >= 0.5], "score": round(share, 6)} for share in shares]

        APP.start(score, release, environ=os.environ, samples=[FIELDS.example()], wrong=wrong)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML ships no types
    def stop(self) -> None:
        APP.stop()
