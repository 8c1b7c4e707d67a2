"""One trace from the edge's traceparent through the arm and its model to the vote, as a real OTLP receiver gets it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from coalmine.errors import BadInput, Refused
from coalmine.feedback import token
from coalmine.feedback.api import application
from coalmine.feedback.store import FeedbackStore
from coalmine.records import ReleaseId
from coalmine.release import manifest
from coalmine.release.answer import KEY_ENVIRONMENT, Answering
from coalmine.release.stages import transformed
from coalmine.tracing import ENDPOINT_ENVIRONMENT, Tracing, recording, stage, tracing, valid
from unit.serving.otlp import Receiver, receiver

TRACE, EDGE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, SILENT = f"00-{TRACE}-{EDGE}-01", f"00-{TRACE}-{EDGE}-00"


def score(texts: list[str]) -> list[dict[str, object]]:
    with stage("tokenise"):
        words = [text.split() for text in texts]
    with stage("features"):
        counts = [len(said) for said in words]
    with stage("model"):
        if "break" in texts:
            raise ValueError("it breaks")
        return [{"label": "yes" if count > 1 else "no", "score": 0.5} for count in counts]


def arm(environ: Mapping[str, str]) -> Answering:
    made = Answering(read=lambda body: [str(body["text"])])
    release = manifest.Manifest(
        model="m",
        release=ReleaseId(3, "abcdef1"),
        version=3,
        run_id="r",
        dataset_digest="d",
        git_sha="s",
        environment={},
    )
    made.start(score, release, environ=environ, samples=["one two"], wrong=dict)
    return made


async def _ask(app: Any, body: Mapping[str, object], headers: Mapping[str, str], path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://arm") as client:
        return await client.post(path, json=dict(body), headers=dict(headers))


def ask(app: Any, body: Mapping[str, object], traceparent: str = "", path: str = "/predict") -> httpx.Response:
    return asyncio.run(_ask(app, body, {"traceparent": traceparent} if traceparent else {}, path))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    token.make_key(tmp_path / "feedback.key")
    return tmp_path / "feedback.key"


def vote(got: Receiver, tmp_path: Path, key: Path, signed: str) -> httpx.Response:
    made = Tracing("coalmine-feedback", got.url)
    app = application(FeedbackStore(tmp_path / "votes.db"), key=key.read_bytes(), traces=made)
    answer = ask(app, {"prediction_id": signed, "thumb": "up"}, path="/feedback")
    made.close()
    return answer


def test_edge_arm_model_and_vote_are_one_trace(tmp_path: Path, key: Path) -> None:
    """Each span's parent is the one before it; the stages lie within the arm's span and follow one another."""
    with receiver() as got:
        app = arm({ENDPOINT_ENVIRONMENT: got.url, KEY_ENVIRONMENT: str(key)})
        answer = ask(app, {"text": "so good"}, SAMPLED).json()
        app.stop()
        assert vote(got, tmp_path, key, answer["prediction_id"]).status_code == 200
    served, voted = got.named("POST /predict"), got.named("POST /feedback")
    inner = [got.named(name) for name in ("wait", "tokenise", "features", "model")]
    assert {span.trace for span in got.spans} == {TRACE}
    assert (served.parent, voted.parent) == (EDGE, served.span)
    assert {span.parent for span in inner} == {served.span}
    times = [served.began, *(moment for span in inner for moment in (span.began, span.ended)), served.ended]
    assert times == sorted(times)
    assert (served.service, voted.service) == ("coalmine-arm", "coalmine-feedback")
    prediction = answer["prediction_id"].split(".")[0]
    assert served.attributes["prediction.id"] == voted.attributes["prediction.id"] == prediction
    assert (served.attributes["release"], served.attributes["http.response.status_code"]) == ("m3-abcdef1", "200")
    assert set(got.paths) == {"/v1/traces"}


def test_a_failed_request_is_an_error_in_its_trace(key: Path) -> None:
    with receiver() as got:
        app = arm({ENDPOINT_ENVIRONMENT: got.url, KEY_ENVIRONMENT: str(key)})
        assert ask(app, {"text": "break"}, SAMPLED).status_code == 500
        app.stop()
    assert got.named("POST /predict").failed


@pytest.mark.parametrize("traceparent", ["", SILENT, SAMPLED[:-1], f"ff{SAMPLED[2:]}", f"00-{'0' * 32}-{EDGE}-01"])
def test_what_the_edge_does_not_record_nobody_records(key: Path, traceparent: str) -> None:
    """No traceparent, its flag off, or one that is none: an answer, an id of three parts, and no span."""
    with receiver() as got:
        app = arm({ENDPOINT_ENVIRONMENT: got.url, KEY_ENVIRONMENT: str(key)})
        answer = ask(app, {"text": "so good"}, traceparent).json()
        app.stop()
    assert not got.spans
    assert answer["prediction_id"].count(".") == 2


def test_a_receiver_that_is_gone_costs_no_answer(key: Path) -> None:
    """Nobody listens on port 9; requests are answered as ever."""
    app = arm({ENDPOINT_ENVIRONMENT: "http://127.0.0.1:9/v1/traces", KEY_ENVIRONMENT: str(key)})
    assert ask(app, {"text": "so good"}, SAMPLED).status_code == 200


def test_a_trace_in_a_token_is_signed() -> None:
    """Nobody puts spans into a trace of somebody else's."""
    signed = token.sign(token.mint(), "m1-abcdef1", key=b"k" * 32, trace=f"{TRACE}-{EDGE}")
    assert token.verify(signed, key=b"k" * 32).trace == f"{TRACE}-{EDGE}"
    with pytest.raises(Refused):
        token.verify(signed.replace(TRACE, TRACE[::-1]), key=b"k" * 32)


def test_off_imports_nothing() -> None:
    """No endpoint: not a module of OpenTelemetry's, and `stage` keeps nothing."""
    script = (
        "import sys\nfrom coalmine.tracing import stage, tracing\nassert tracing('x', {}) is None\n"
        "with stage('model'): pass\nprint([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=110, check=True)
    assert done.stdout.strip() == "[]"


def test_a_wrong_endpoint_is_refused_at_the_start() -> None:
    with pytest.raises(BadInput, match="no URL"):
        tracing("x", {ENDPOINT_ENVIRONMENT: "localhost:4318"})


def test_what_is_a_traceparent() -> None:
    assert valid(SAMPLED)
    assert not valid(f"{SAMPLED}\n")
    assert not valid(SAMPLED.upper())


def test_a_pipeline_in_stages_is_the_pipeline() -> None:
    """To the bit: a trace must not change an answer. A pipeline of another shape is one stage."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer  # noqa: PLC0415 - seconds
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - as above
    from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline  # noqa: PLC0415 - as above

    texts = ["so good, so fine", "bad :( bad", "not so good", "it is bad", "fine!"]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
    made = Pipeline([("f", FeatureUnion([("w", words), ("p", pieces)])), ("c", LogisticRegression())])
    made.fit(texts, [1, 0, 1, 0, 1])

    def work(items: list[str]) -> list[dict[str, object]]:
        features = transformed(made, items)
        assert (features != made[:-1].transform(items)).nnz == 0
        with stage("model"):
            return [{"shares": row.tolist()} for row in made[-1].predict_proba(features)]

    found = recording(work)(["good and new", ""])
    assert [one["shares"] for one in found] == made.predict_proba(["good and new", ""]).tolist()
    assert [name for name, _, _ in found[0].stages.done] == ["tokenise", "features", "model"]
    plain = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0, 1])
    assert (transformed(plain, texts) != plain[:-1].transform(texts)).nnz == 0
