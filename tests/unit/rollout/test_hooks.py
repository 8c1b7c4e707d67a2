"""Webhooks and metric queries against a real HTTP server on loopback."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from coalmine.records import Phase
from coalmine.rollout.hooks import HookClient
from coalmine.rollout.state import Answer, Ask, Event, Said


class Judge(ThreadingHTTPServer):
    """Answers what it is told to and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[tuple[int, str]] = [(200, "")]
        self.delay = 0.0
        self.asked: list[tuple[str, str, Any, dict[str, str]]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Judge

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._reply(json.loads(body))

    def do_GET(self) -> None:
        self._reply(None)

    def _reply(self, body: Any) -> None:
        judge = self.server
        judge.asked.append((self.command, self.path, body, dict(self.headers)))
        time.sleep(judge.delay)
        status, text = judge.replies.pop(0) if len(judge.replies) > 1 else judge.replies[0]
        self.send_response(status)
        payload = b"" if status == 204 else text.encode()
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_args: Any) -> None:
        """Silent."""


@pytest.fixture
def judge() -> Iterator[Judge]:
    server = Judge()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(judge: Judge, pauses: list[float]) -> Iterator[HookClient]:
    with HookClient({"judge.coalmine:8090": judge.address}, clock=lambda: 1700000000.25, pause=pauses.append) as made:
        yield made


def ask(client: HookClient, canary: Any, *, kind: str = "rollback") -> Answer:
    return client.ask(Ask(canary.hooks(kind)[0], Phase.PROGRESSING, "abc"), canary)


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (200, "4 of 100 fail", Answer(Said.YES, "4 of 100 fail")),
        (202, "", Answer(Said.YES, "")),
        (204, "", Answer(Said.NO, "status 204")),
        (409, "10 of 50 requests", Answer(Said.NO, "10 of 50 requests")),
        (404, "", Answer(Said.NO, "status 404")),
        (501, "not here", Answer(Said.NO, "not here")),
        (429, "slow down", Answer(Said.UNREACHABLE, "status 429")),
        (500, "a trace that is lost", Answer(Said.UNREACHABLE, "status 500")),
        (503, "", Answer(Said.UNREACHABLE, "status 503")),
    ],
)
def test_a_status_says_yes_no_or_nothing(
    status: int, text: str, said: Answer, judge: Judge, client: HookClient, make_canary: Callable[..., Any]
) -> None:
    judge.replies = [(status, text)]
    assert ask(client, make_canary()) == said


def test_the_payload_is_flaggers(judge: Judge, client: HookClient, make_canary: Callable[..., Any]) -> None:
    hook = {"name": "j", "type": "rollback", "url": "http://judge.coalmine:8090/hooks/rollback", "metadata": {"a": "b"}}
    ask(client, make_canary(webhooks=[hook]))
    method, path, body, headers = judge.asked[0]
    assert (method, path) == ("POST", "/hooks/rollback")
    assert body == {"name": "m", "namespace": "m", "phase": "Progressing", "checksum": "abc", "metadata": {"a": "b"}}
    assert (headers["Host"], headers["Content-Type"]) == ("judge.coalmine:8090", "application/json")


def test_empty_metadata_is_left_out(judge: Judge, client: HookClient, make_canary: Callable[..., Any]) -> None:
    ask(client, make_canary())
    assert set(judge.asked[0][2]) == {"name", "namespace", "phase", "checksum"}


def test_an_event_carries_message_type_and_milliseconds(
    judge: Judge, client: HookClient, make_canary: Callable[..., Any]
) -> None:
    canary = make_canary(hooks=("event",))
    assert client.tell(Event("warning", "Halt"), canary, phase=Phase.WAITING, checksum="abc")
    body = judge.asked[0][2]
    assert body["phase"] == "Waiting"
    assert body["metadata"] == {"eventMessage": "Halt", "eventType": "Warning", "timestamp": "1700000000250"}


def test_5xx_is_tried_again_as_often_as_the_canary_says(
    judge: Judge, client: HookClient, pauses: list[float], make_canary: Callable[..., Any]
) -> None:
    hook = {"name": "j", "type": "rollback", "url": "http://judge.coalmine:8090/hooks/rollback", "retries": 2}
    judge.replies = [(500, ""), (500, ""), (200, "at last")]
    assert ask(client, make_canary(webhooks=[hook])) == Answer(Said.YES, "at last")
    assert pauses == [1.0, 2.0]
    judge.replies = [(500, "")]
    assert ask(client, make_canary(webhooks=[hook])).said is Said.UNREACHABLE
    assert len(judge.asked) == 6


def test_a_no_is_not_tried_again(judge: Judge, client: HookClient, make_canary: Callable[..., Any]) -> None:
    hook = {"name": "j", "type": "rollback", "url": "http://judge.coalmine:8090/hooks/rollback", "retries": 2}
    judge.replies = [(409, "no")]
    ask(client, make_canary(webhooks=[hook]))
    assert len(judge.asked) == 1


def test_an_answer_that_does_not_come_in_time_is_none(
    judge: Judge, client: HookClient, make_canary: Callable[..., Any]
) -> None:
    judge.delay = 1.5
    hook = {"name": "j", "type": "rollback", "url": "http://judge.coalmine:8090/", "timeout": "1s"}
    assert ask(client, make_canary(webhooks=[hook])).said is Said.UNREACHABLE


def test_nobody_listening_is_no_answer(make_canary: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        with HookClient({"judge.coalmine:8090": f"127.0.0.1:{taken.getsockname()[1]}"}) as client:
            answer = ask(client, make_canary())
            told = client.tell(Event("note", "x"), make_canary(hooks=("event",)), phase=None, checksum="")
    assert answer.said is Said.UNREACHABLE
    assert "refused" in answer.text
    assert not told


def prometheus(*values: str) -> str:
    return json.dumps({"status": "success", "data": {"result": [{"metric": {}, "value": [1.0, v]} for v in values]}})


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, prometheus("0.2"), Said.YES),
        (200, prometheus("0.5"), Said.YES),
        (200, prometheus("0.51"), Said.NO),
        (200, prometheus("-0.1"), Said.NO),
        (200, prometheus("0.9", "0.1"), Said.YES),
        (200, prometheus(), Said.NO_DATA),
        (200, prometheus("NaN"), Said.NO_DATA),
        (200, "{}", Said.NO),
        (200, "no json", Said.NO),
        (200, '{"data": {"result": [{"values": []}]}}', Said.NO),
        (400, "bad query", Said.NO),
        (503, "", Said.UNREACHABLE),
    ],
)
def test_a_metric_is_in_range_out_of_it_or_without_a_value(
    status: int, body: str, said: Said, judge: Judge, client: HookClient, make_canary: Callable[..., Any]
) -> None:
    metric = {"name": "g", "templateRef": {"name": "gross"}, "thresholdRange": {"min": 0, "max": 0.5}}
    canary = make_canary(metrics=[metric])
    judge.replies = [(status, body)]
    assert client.ask(Ask(canary.metrics[0], Phase.PROGRESSING, "abc"), canary).said is said
    assert judge.asked[0][1].startswith("/api/v1/query?query=share%7B")
