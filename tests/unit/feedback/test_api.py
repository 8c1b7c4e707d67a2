"""POST /feedback over real HTTP, against a real process."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from coalmine.feedback import token
from coalmine.feedback.api import Refusal, read_vote
from coalmine.feedback.store import all_votes, later_words

RELEASE = "m2-abcdef1"


@dataclass(frozen=True)
class Api:
    process: subprocess.Popen[bytes]
    url: str
    key: bytes
    database: Path

    def token(self) -> str:
        return token.sign(token.mint(), RELEASE, key=self.key)

    def post(self, **body: object) -> httpx.Response:
        return httpx.post(f"{self.url}/feedback", json=body)


def start(folder: Path) -> Api:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = token.make_key(folder / "feedback.key")
    command = [sys.executable, "-m", "coalmine.feedback.api", "--port", str(port), "--votes-per-hour", "3"]
    command += ["--database", str(folder / "feedback.db"), "--key", str(folder / "feedback.key")]
    process = subprocess.Popen(command)
    api = Api(process, f"http://127.0.0.1:{port}", key, folder / "feedback.db")
    end = time.monotonic() + 60
    while True:
        try:
            assert httpx.get(f"{api.url}/healthz").status_code == 200
        except httpx.TransportError:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.05)
        else:
            return api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    running = start(tmp_path_factory.mktemp("feedback"))
    yield running
    running.process.terminate()
    assert running.process.wait(20) == 0


def test_a_vote_is_taken_once_and_repeating_it_does_no_harm(api: Api) -> None:
    signed = api.token()
    first = api.post(prediction_id=signed, thumb="up")
    again = api.post(prediction_id=signed, thumb="up")
    other = api.post(prediction_id=signed, thumb="down")
    assert (first.status_code, first.json()["already"]) == (200, False)
    assert (again.status_code, again.json()["already"]) == (200, True)
    assert (other.status_code, other.json()["error"][:12]) == (409, "another vote")
    votes = [vote for vote in all_votes(api.database) if vote.prediction == signed.split(".")[0]]
    assert [vote.good for vote in votes] == [True]
    assert votes[0].predicted_at == token.predicted_at(votes[0].prediction)
    assert signed.split(".")[0] in [word[0] for word in later_words(api.database)]


def test_a_correction_alone_is_a_vote_without_a_thumb(api: Api) -> None:
    signed = api.token()
    assert api.post(prediction_id=signed, correction="positive", user="ann").status_code == 200
    vote = list(all_votes(api.database))[-1]
    assert (vote.good, vote.correction, vote.user) == (None, "positive", "ann")


def test_a_user_above_the_cap_gets_429(api: Api) -> None:
    statuses = [api.post(prediction_id=api.token(), thumb="up", user="bob").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


def test_a_forged_token_gets_403(api: Api) -> None:
    forged = token.sign(token.mint(), RELEASE, key=bytes(32))
    answer = api.post(prediction_id=forged, thumb="up")
    assert (answer.status_code, answer.json()["field"]) == (403, "prediction_id")


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b"[]", 422, None),
        (b"{}", 422, "thumb"),
        (b'{"thumb": "up"}', 422, "prediction_id"),
        (b'{"thumb": "up", "prediction_id": 5}', 422, "prediction_id"),
        (b'{"thumb": "up", "prediction_id": "x"}', 422, "prediction_id"),
        (b'{"thumb": "sideways", "prediction_id": "x"}', 422, "thumb"),
        (b'{"thumb": ["up"], "prediction_id": "x"}', 422, "thumb"),
        (b'{"correction": "", "prediction_id": "x"}', 422, "correction"),
        (b'{"thumb": "up", "prediction_id": "x", "usr": "ann"}', 422, "usr"),
        (b'{"thumb": "' + b"u" * 9000 + b'"}', 413, None),
    ],
)
def test_what_is_malformed_is_named(api: Api, body: bytes, status: int, field: str | None) -> None:
    answer = httpx.post(f"{api.url}/feedback", content=body)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert answer.json().get("field") == field


def test_metrics_count_answers_by_status(api: Api) -> None:
    api.post()
    assert 'coalmine_feedback_requests_total{status="422"}' in httpx.get(f"{api.url}/metrics").text


def test_a_vote_on_an_old_prediction_gets_410_and_one_from_the_future_422() -> None:
    key = bytes(32)
    prediction = token.mint()
    body = f'{{"prediction_id": "{token.sign(prediction, RELEASE, key=key)}", "thumb": "up"}}'.encode()
    at = token.predicted_at(prediction)
    assert read_vote(body, key=key, now=at + 10, oldest=10.0).t == at + 10
    for now, status in ((at + 11, 410), (at - 61, 422)):
        with pytest.raises(Refusal) as refused:
            read_vote(body, key=key, now=now, oldest=10.0)
        assert refused.value.status == status


def test_kill_9_under_load_loses_no_acknowledged_vote(tmp_path: Path) -> None:
    """What was answered with 200 is on disk, whenever the process dies."""
    running = start(tmp_path)
    acknowledged: list[str] = []

    def vote() -> None:
        with httpx.Client() as client:
            while True:
                signed = running.token()
                body = {"prediction_id": signed, "thumb": "up"}
                try:
                    answer = client.post(f"{running.url}/feedback", json=body)
                except httpx.TransportError:
                    return
                assert answer.status_code == 200
                acknowledged.append(signed.split(".")[0])

    threads = [threading.Thread(target=vote) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    running.process.kill()
    running.process.wait()
    for thread in threads:
        thread.join()
    stored = {item.prediction for item in all_votes(running.database)}
    assert len(acknowledged) > 20
    assert set(acknowledged) <= stored
