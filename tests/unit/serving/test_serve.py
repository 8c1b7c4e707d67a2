"""The arm's process, for real: start, spare, drain, faults, refusals."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from coalmine.errors import BadInput
from coalmine.feedback import ingest, token
from coalmine.release import serve

pytestmark = pytest.mark.slow  # each starts BentoML: 3 to 6 s


def test_an_arm_answers_with_a_signed_id_and_the_headers_that_the_edge_logs(arm: Callable[..., Any]) -> None:
    """What the access log, the judge and feedback join on is in every answer."""
    one = arm()
    one.wait_ready()
    began = time.time()
    answer = one.predict()
    ended = time.time()
    body = answer.json()
    assert answer.status_code == 200
    assert body["label"] == "positive"
    assert 0.5 < body["score"] <= 1
    assert (body["release"], body["model_version"]) == ("m1-abcdef1", 1)
    assert answer.headers["X-Prediction-Id"] == body["prediction_id"]
    assert answer.headers["X-Coalmine-Release"] == "m1-abcdef1"
    assert float(answer.headers["X-Processing-Ms"]) >= 0
    signed = token.verify(body["prediction_id"], key=token.read_key(one.key))
    assert int(began) <= signed.predicted_at <= ended
    # Many texts, many ids.
    many = httpx.post(f"{one.url}/predict", json={"texts": ["a lovely day", "an awful day"]}).json()["predictions"]
    assert [item["label"] for item in many] == ["positive", "negative"]
    # BentoML's own metrics are there and name the Bento's version.
    metrics = httpx.get(f"{one.url}/metrics").text
    assert 'bentoml_service_request_total{endpoint="/predict"' in metrics
    assert 'service_version="test"' in metrics
    # The prediction log is whole after a clean end.
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(20) == 0
    logged = {row["id"]: row for row in ingest.predictions(one.predictions)({})[0].to_dicts()}
    assert len(logged) == 3
    assert logged[signed.prediction]["input"] == "a lovely day"
    assert logged[signed.prediction]["label"] == "positive"


@pytest.mark.parametrize(
    ("content", "status", "field"),
    [
        (b"no json", 400, None),
        (b"\xff\xfe", 400, None),
        (b"[1]", 400, None),
        (b"{}", 422, "text"),
        (b'{"text": 1}', 422, "text"),
        (b'{"text": "  "}', 422, "text"),
        (b'{"text": "a", "texts": ["b"]}', 422, "text"),
        (b'{"texts": []}', 422, "texts"),
        (b'{"texts": ["a", null]}', 422, "texts[1]"),
        (json.dumps({"text": "a" * 5001}).encode(), 422, "text"),
        (json.dumps({"texts": ["a"] * 65}).encode(), 422, "texts"),
        (b'{"text": "' + b"a" * 70_000 + b'"}', 413, None),
        (b'{"text": "\\ud800"}', 200, None),
        (b'{"text": "\\u0000"}', 200, None),
    ],
)
def test_a_wrong_input_is_told_by_field_and_is_never_a_500(
    shared: Any, content: bytes, status: int, field: str | None
) -> None:
    answer = httpx.post(f"{shared.url}/predict", content=content)
    assert answer.status_code == status
    assert answer.json().get("field") == field


def test_other_paths_and_methods_are_refused_in_json(shared: Any) -> None:
    assert httpx.get(f"{shared.url}/predict").status_code == 405
    assert httpx.post(f"{shared.url}/elsewhere").json() == {"error": "there is only POST /predict here"}


def test_concurrent_requests_each_get_their_own_answer(shared: Any) -> None:
    """A batch's answers go to those who asked."""
    wrong: list[str] = []

    def ask(text: str, label: str) -> None:
        with httpx.Client() as client:
            for _ in range(30):
                answer = client.post(f"{shared.url}/predict", json={"text": text})
                if answer.status_code != 200 or answer.json()["label"] != label:
                    wrong.append(answer.text)

    cases = [("a lovely day", "positive"), ("terrible, I hate it", "negative")] * 4
    threads = [threading.Thread(target=ask, args=case) for case in cases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_sigterm_loses_no_request_of_clients_that_keep_their_connections(arm: Callable[..., Any]) -> None:
    """Not ready at once, still answering, each answer closing its connection; then exit 0."""
    one = arm("delay_ms=30", drain=1.0)
    one.wait_ready()
    lost: list[str] = []
    closing = threading.Event()
    seen_closed = threading.Event()

    def ask() -> None:
        with httpx.Client() as client:
            while not seen_closed.is_set():
                try:
                    answer = client.post(f"{one.url}/predict", json={"text": "a lovely day"})
                except httpx.TransportError as error:
                    lost.append(repr(error))
                    return
                if answer.status_code != 200:
                    lost.append(answer.text)
                if closing.is_set() and answer.headers.get("connection") == "close":
                    return  # as a proxy does: this arm has asked to be left

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    closing.set()
    one.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert httpx.get(f"{one.url}/readyz").status_code == 503
    for thread in threads:
        thread.join(5)
    assert lost == []
    assert one.process.wait(20) == 0


def test_a_request_in_flight_when_the_listener_closes_is_finished(arm: Callable[..., Any]) -> None:
    one = arm("delay_ms=1500", drain=0.1)
    one.wait_ready()
    got: list[int] = []
    thread = threading.Thread(target=lambda: got.append(one.predict().status_code))
    thread.start()
    time.sleep(0.4)
    one.process.send_signal(signal.SIGTERM)
    thread.join(10)
    assert got == [200]
    assert one.process.wait(20) == 0


def test_a_spare_serves_its_order_and_goes_on_without_its_parent(arm: Callable[..., Any], bento: Path) -> None:
    spare = arm(spare=True)
    assert json.loads(spare.process.stdout.readline()) == {"spare": spare.process.pid}
    order = {"bento": str(bento), "port": spare.port, "faults": "wrong_rate=1"}
    spare.process.stdin.write(json.dumps(order) + "\n")
    spare.process.stdin.close()
    spare.process.stdout.close()
    spare.wait_ready(seconds=20)
    assert spare.predict("a lovely day").json()["label"] == "negative"
    spare.process.stdin = spare.process.stdout = None
    spare.process.send_signal(signal.SIGTERM)
    assert spare.process.wait(20) == 0


def test_a_spare_whose_parent_dies_before_an_order_ends(arm: Callable[..., Any]) -> None:
    spare = arm(spare=True)
    spare.process.stdin.close()
    spare.process.stdin = None
    assert spare.process.wait(60) == 0


def test_faults_are_enacted_on_requests(arm: Callable[..., Any]) -> None:
    """error_rate and leak_mb do what they say, and nothing else."""
    one = arm("error_rate=0.5,leak_mb=4")
    one.wait_ready()
    before = _resident_mebibytes(one.process.pid)
    statuses = [one.predict().status_code for _ in range(30)]
    assert set(statuses) == {200, 500}
    assert _resident_mebibytes(one.process.pid) - before > 90


def test_crash_under_load_spares_a_lone_request_and_dies_at_the_limit(arm: Callable[..., Any]) -> None:
    one = arm("crash_under_load=3,delay_ms=300")
    one.wait_ready()
    assert one.predict().status_code == 200

    def ask() -> None:
        with pytest.raises(httpx.TransportError):
            one.predict()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.process.wait(10) == 70


def test_crash_at_start_and_slow_start(arm: Callable[..., Any]) -> None:
    crashing = arm("crash_at_start=1")
    assert crashing.process.wait(60) == 70
    asleep, slow = arm("slow_start_s=3600"), arm("slow_start_s=1")
    slow.wait_ready()  # started later, and there first
    assert asleep.process.poll() is None
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{asleep.url}/readyz")


def test_a_model_of_other_versions_is_refused_with_both_named(
    arm: Callable[..., Any], build: Callable[..., Path], tmp_path: Path
) -> None:
    one = arm(bento=build(tmp_path / "old", sklearn="0.1.0"))
    _, said = one.process.communicate(timeout=60)
    assert one.process.returncode == 3
    assert "sklearn 0.1.0 (here" in said
    assert "remedy: " in said


def test_an_order_is_read_strictly() -> None:
    with pytest.raises(BadInput, match=r"order\.port"):
        serve.read_order('{"bento": "x"}')
    with pytest.raises(BadInput, match=r"order\.bento"):
        serve.read_order("[]")
    with pytest.raises(BadInput, match="no JSON"):
        serve.read_order("x")
    with pytest.raises(BadInput, match="'oops' is no fault"):
        serve.read_order('{"bento": "x", "port": 1, "faults": "oops=1"}')


@pytest.fixture(scope="module")
def shared(bento: Path, tmp_path_factory: pytest.TempPathFactory, start_arm: Callable[..., Any]) -> Any:
    """One arm without faults for all tests that only ask."""
    one = start_arm(bento, tmp_path_factory.mktemp("shared"))
    one.wait_ready()
    return one


def _resident_mebibytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
