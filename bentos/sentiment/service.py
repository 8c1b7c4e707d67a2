"""The sentiment service: POST /predict {"text": "..."} or {"texts": ["...", ...]} -> positive or negative.

The fast path is one ASGI application mounted into BentoML: its metrics, probes and configuration stay in force, and
whatever waits is predicted in one batch. scikit-learn is imported when the service starts, not when it is described.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bentoml

from coalmine.errors import BadInput
from coalmine.release import manifest
from coalmine.release.answer import SKETCH, SKETCH_ENVIRONMENT, Answering
from coalmine.release.drill import Output
from coalmine.release.stages import transformed
from coalmine.tracing import stage

MODEL = Path(__file__).parent / "model"
LONGEST = 5000  # characters of one text
SKETCHED = 8
MOST = 64  # texts of one request: as many as one batch
SAMPLES = ("what a lovely day", "it broke after a week :(", "It opens on Monday.")


def read(body: Mapping[str, object]) -> list[str]:
    """The texts of a request. Raises BadInput naming the field."""
    if ("text" in body) == ("texts" in body):
        raise BadInput('give "text" (a string) or "texts" (a list of strings)', where="text")
    if "text" in body:
        return [check(body["text"], "text")]
    texts = body["texts"]
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST:
        raise BadInput(f"not a list of 1 to {MOST} strings", where="texts")
    return [check(text, f"texts[{number}]") for number, text in enumerate(texts)]


def check(text: object, field: str) -> str:
    if not isinstance(text, str):
        raise BadInput("not a string", where=field)
    if not text.strip():
        raise BadInput("empty", where=field)
    if len(text) > LONGEST:
        raise BadInput(f"{len(text)} characters; at most {LONGEST} are read", where=field)
    return text


def wrong(output: Output) -> Output:
    """The opposite answer, for drills."""
    label = "negative" if output["label"] == "positive" else "positive"
    return {"label": label, "score": output["score"]}


def sketching(pipeline: Any) -> Callable[[Any], list[list[float]]]:
    """Features -> eight numbers each, by the same random projection in every process: what drift is measured on."""
    import numpy as np  # noqa: PLC0415 (see the module's docstring)

    draw = np.random.default_rng(0)
    width = pipeline[-1].coef_.shape[1]
    projection = draw.standard_normal((width, SKETCHED), dtype=np.float32) / np.sqrt(SKETCHED)
    return lambda features: (features @ projection).round(4).tolist()


APP = Answering(read=read, batch=MOST)


@bentoml.service(name="sentiment", workers=1, traffic={"timeout": 10}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(APP, path="/")
class Sentiment:
    """score: the probability that the text is positive."""

    def __init__(self) -> None:
        release = manifest.read(MODEL)
        manifest.check_environment(release, manifest.installed())
        import joblib  # noqa: PLC0415 (see the module's docstring)

        pipeline = joblib.load(MODEL / "pipeline.joblib")

        classify = pipeline[-1].predict_proba
        sketch = sketching(pipeline) if os.environ.get(SKETCH_ENVIRONMENT) == "1" else None

        def score(texts: list[str]) -> list[Output]:
            features = transformed(pipeline, texts)
            with stage("model"):
                shares = classify(features)[:, 1].tolist()
            outputs: list[Output] = [
                {"label": "positive" if p >= 0.5 else "negative", "score": round(p, 6)} for p in shares
            ]
            if sketch is None:
                return outputs
            return [{**output, SKETCH: row} for output, row in zip(outputs, sketch(features), strict=True)]

        APP.start(score, release, environ=os.environ, samples=SAMPLES, wrong=wrong)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # BentoML ships no types
    def stop(self) -> None:
        APP.stop()
