"""POST /feedback over real HTTP, against a real process."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from coalmine.feedback import token
from coalmine.feedback.events import Refusal, read_event
from coalmine.feedback.store import events_since
from coalmine.judge.sources import Label, Position
from coalmine.judge.sources.feedback import Votes
from coalmine.records import Event, Kind

RELEASE = "m2-abcdef1"
SHOP = "https://shop.example"


@dataclass(frozen=True)
class Api:
    process: subprocess.Popen[bytes]
    url: str
    key: bytes
    database: Path

    def token(self, tenant: str = "default") -> str:
        return token.sign(token.mint(), RELEASE, key=self.key, tenant=tenant)

    def post(self, **body: object) -> httpx.Response:
        return httpx.post(f"{self.url}/feedback", json=body)

    def so_far(self) -> Position | None:
        """How far a judge that has read all votes has come."""
        return Votes(self.database).read(None).position

    def votes(self, since: Position | None) -> Sequence[Label]:
        """What the judge counts of those that came since."""
        return Votes(self.database).read(since).items

    def events(self, signed: str) -> list[Event]:
        """What the lake gets of a prediction."""
        prediction = signed.partition(".")[0]
        return [event for _, event in events_since(self.database) if event.prediction == prediction]


def start(folder: Path) -> Api:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = token.make_key(folder / "feedback.key")
    command = [sys.executable, "-m", "coalmine.feedback.api", "--port", str(port), "--votes-per-hour", "3"]
    command += ["--database", str(folder / "feedback.db"), "--key", str(folder / "feedback.key"), "--origin", SHOP]
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
    signed, before = api.token(), api.so_far()
    first = api.post(prediction_id=signed, thumb="up")
    again = api.post(prediction_id=signed, thumb="up")
    other = api.post(prediction_id=signed, thumb="down")
    assert (first.status_code, first.json()["already"]) == (200, False)
    assert (again.status_code, again.json()["already"]) == (200, True)
    assert (other.status_code, other.json()["error"][:12]) == (409, "another vote")
    made = token.predicted_at(signed.split(".")[0])
    assert [(vote.good, vote.predicted_at) for vote in api.votes(before)] == [(True, made)]
    assert [event.value for event in api.events(signed)] == [1.0, 0.0]


def test_a_correction_alone_is_a_vote_without_a_thumb(api: Api) -> None:
    signed, before = api.token(), api.so_far()
    assert api.post(prediction_id=signed, correction="positive", user="ann").status_code == 200
    assert api.votes(before) == ()
    (event,) = api.events(signed)
    assert (event.kind, event.value, event.correction, event.user) == (Kind.CORRECTION, None, "positive", "ann")


def test_a_user_above_the_cap_gets_429(api: Api) -> None:
    statuses = [api.post(prediction_id=api.token(), thumb="up", user="bob").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("said", "kind", "value"),
    [
        ({"rating": 4}, Kind.RATING, 4.0),
        ({"rating": 2, "correction": "negative"}, Kind.RATING, 2.0),
        ({"click": True}, Kind.CLICK, 1.0),
        ({"conversion": True}, Kind.CONVERSION, 1.0),
        ({"conversion": 19.9}, Kind.CONVERSION, 19.9),
        ({"dwell": 12.5}, Kind.DWELL, 12.5),
        ({"correction": "negative"}, Kind.CORRECTION, None),
    ],
)
def test_what_people_do_is_taken_as_well_as_what_they_say(
    api: Api, said: dict[str, object], kind: Kind, value: float | None
) -> None:
    """Each kind is an event, and none of these is a vote for the judge."""
    signed, before = api.token("acme"), api.so_far()
    assert api.post(prediction_id=signed, **said).json()["already"] is False
    assert api.post(prediction_id=signed, **said).json()["already"] is True
    assert [(event.kind, event.value, event.tenant) for event in api.events(signed)] == [(kind, value, "acme")]
    assert api.votes(before) == ()


def test_an_event_id_makes_a_repetition_the_same_event(api: Api) -> None:
    """Of the same prediction only: nobody can use up another's id. Without one, what is said is the id."""
    signed, other = api.token(), api.token()
    answers = [
        api.post(prediction_id=signed, dwell=1.0, event_id="a"),
        api.post(prediction_id=signed, dwell=2.0, event_id="a"),
        api.post(prediction_id=signed, dwell=2.0, event_id="b"),
        api.post(prediction_id=other, dwell=1.0, event_id="a"),
    ]
    assert [answer.json()["already"] for answer in answers] == [False, True, False, False]


def test_a_thumb_after_a_correction_is_the_vote_that_counts(api: Api) -> None:
    """And the correction stays beside it; sent again, both are there already."""
    signed, before = api.token(), api.so_far()
    for said in ({"correction": "negative"}, {"thumb": "down"}):
        assert api.post(prediction_id=signed, **said).status_code == 200
        assert api.post(prediction_id=signed, **said).json()["already"] is True
    assert [vote.good for vote in api.votes(before)] == [False]
    assert [(event.value, event.correction) for event in api.events(signed)] == [(None, "negative"), (0.0, "")]


def test_a_token_is_of_one_tenant(api: Api) -> None:
    """Neither its name in the token nor the key of another makes it somebody else's."""
    parts = api.token("acme").split(".")
    for changed in ([*parts[:2], "globex", parts[3]], [*parts[:2], parts[3]], [*parts[:2], "default", parts[3]]):
        assert api.post(prediction_id=".".join(changed), thumb="up").status_code == 403


def test_a_page_of_a_known_origin_may_send_from_a_browser(api: Api) -> None:
    """Its preflight is answered, its request too; another origin's script gets neither leave."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for origin, allowed in ((SHOP, SHOP), ("https://evil.example", None)):
        before = httpx.options(f"{api.url}/feedback", headers={"Origin": origin, **asked})
        assert before.headers.get("access-control-allow-origin") == allowed
        assert (before.status_code == 200) is (allowed is not None)
        body = {"prediction_id": api.token(), "thumb": "up"}
        answer = httpx.post(f"{api.url}/feedback", json=body, headers={"Origin": origin})
        assert answer.headers.get("access-control-allow-origin") == allowed


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
        (b'{"click": true, "dwell": 1, "prediction_id": "x"}', 422, "dwell"),
        (b'{"click": true, "correction": "y", "prediction_id": "x"}', 422, "correction"),
        (b'{"click": false, "prediction_id": "x"}', 422, "click"),
        (b'{"rating": 6, "prediction_id": "x"}', 422, "rating"),
        (b'{"rating": true, "prediction_id": "x"}', 422, "rating"),
        (b'{"dwell": -1, "prediction_id": "x"}', 422, "dwell"),
        (b'{"conversion": "much", "prediction_id": "x"}', 422, "conversion"),
        (b'{"conversion": Infinity, "prediction_id": "x"}', 422, "conversion"),
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
    assert read_event(body, key=key, now=at + 10, oldest=10.0).t == at + 10
    for now, status in ((at + 11, 410), (at - 61, 422)):
        with pytest.raises(Refusal) as refused:
            read_event(body, key=key, now=now, oldest=10.0)
        assert refused.value.status == status


def test_kill_9_under_load_loses_no_acknowledged_vote(tmp_path: Path) -> None:
    """What was answered with 200 is on disk, whenever the process dies."""
    killed(tmp_path, after=50)


@pytest.mark.slow
def test_kill_9_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """Ten times on one file, each time somewhere else in the work; the benchmark does it fifty times."""
    for time_ in range(10):
        killed(tmp_path, after=30 + 7 * time_)


def killed(folder: Path, *, after: int) -> None:
    """Kill a service that eight clients send to, once it has acknowledged so many; then look what is on disk."""
    running = start(folder)
    acknowledged: list[str] = []
    enough = threading.Event()

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
                if len(acknowledged) >= after:
                    enough.set()

    threads = [threading.Thread(target=vote) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert enough.wait(90)
    running.process.kill()
    running.process.wait()
    for thread in threads:
        thread.join()
    events = [event for _, event in events_since(running.database, limit=1_000_000)]
    assert set(acknowledged) <= {event.prediction for event in events}
    assert len(running.votes({"seq": 0})) == len(events)  # both of a transaction, or neither
