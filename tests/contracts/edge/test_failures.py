"""What the edge answers itself, and what it never hides or passes."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from contracts.edge.conftest import Rig


@pytest.mark.parametrize("mode", ["silent", "down"])
def test_a_failed_upstream_is_asked_exactly_once_and_the_502_names_arm_and_release(rig: Rig, mode: str) -> None:
    rig.split(100)
    if mode == "down":
        rig.green.stop()
    rig.green.mode = mode
    answer = rig.ask(headers={"X-Attempt": "1"})
    assert answer.status == 502
    assert answer.json == {
        "error": "no_answer",
        "detail": "the service did not answer",
        "request_id": answer.headers["x-request-id"],
    }
    assert answer.headers["x-coalmine-arm"] == "canary"
    assert answer.headers["x-coalmine-release"] == "m2-abc1235"
    assert (len(rig.green.seen), len(rig.blue.seen)) == (1 if mode == "silent" else 0, 0)
    line = rig.lines(at_least=1)[-1]
    assert (line["arm"], line["release"], line["status"], line["upstream_status"]) == (
        "canary",
        "m2-abc1235",
        502,
        "502",
    )


def test_a_stale_keep_alive_connection_to_an_arm_is_no_reason_to_try_twice(rig: Rig) -> None:
    assert rig.ask().status == 200
    rig.blue.mode = "silent"  # the kept connection is open; the arm dies on the next request
    assert rig.ask().status == 502
    assert len(rig.blue.seen) == 2


def test_an_error_of_the_service_itself_passes_whole_with_its_arm(rig: Rig) -> None:
    rig.blue.status = 503
    answer = rig.ask()
    assert (answer.status, answer.json["by"], answer.headers["x-coalmine-arm"]) == (503, "blue", "primary")
    assert "retry-after" not in answer.headers


def test_an_arm_that_is_too_slow_is_a_504_after_a_second_more_than_the_timeout(start: Callable[..., Rig]) -> None:
    rig = start(timeout_seconds=1)
    assert "proxy_read_timeout 2s;" in rig.config.conf.read_text()
    rig.blue.delay = 3600  # it never answers
    answer = rig.ask()
    assert (answer.status, answer.json["error"], answer.headers["x-coalmine-arm"]) == (504, "timed_out", "primary")
    assert rig.lines(at_least=1)[-1]["upstream_status"] == "504"


def test_half_an_answer_is_not_logged_as_a_success(rig: Rig) -> None:
    rig.blue.mode = "short"
    connection = rig.connect()
    with pytest.raises(http.client.IncompleteRead):
        rig.ask(on=connection)
    connection.close()
    line = rig.lines(at_least=1)[-1]
    assert (line["arm"], line["status"]) == ("primary", 502)


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/readyz", "/livez", "/", "/predict/", "/predict/../metrics", "//metrics", "/PREDICT", "/docs.json"],
)
def test_only_listed_paths_pass(rig: Rig, path: str) -> None:
    answer = rig.ask(path, method="GET" if path != "/predict/" else "POST")
    assert (answer.status, answer.json["error"]) == (404, "not_found")
    assert answer.headers["x-request-id"] == answer.json["request_id"]
    assert (rig.blue.seen, rig.green.seen, rig.feedback.seen) == ([], [], [])
    assert rig.lines(at_least=1)[-1]["arm"] == ""


def test_a_get_is_answered_by_the_edge_with_what_is_allowed(rig: Rig) -> None:
    answer = rig.ask(method="GET")
    assert (answer.status, answer.headers["allow"], answer.json["error"]) == (405, "POST", "method_not_allowed")


def test_feedback_goes_to_its_own_service_and_counts_for_no_arm(rig: Rig) -> None:
    answer = rig.ask("/feedback", body=b'{"prediction_id": "x"}')
    assert (answer.status, answer.json["by"], rig.feedback.seen[0][2]) == (200, "feedback", b'{"prediction_id": "x"}')
    assert "x-coalmine-arm" not in answer.headers
    line = rig.lines(at_least=1)[-1]
    assert (line["arm"], line["slot"], line["release"], line["weight"], line["path"]) == ("", "", "", 0, "/feedback")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_a_413_that_no_arm_sees(rig: Rig, chunked: bool) -> None:  # noqa: FBT001 - a test's case
    body = b"x" * 70_000
    head = b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: 70000\r\n\r\n"
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    got = rig.raw(b"POST /predict HTTP/1.1\r\nHost: localhost\r\n" + head + sent, wait=2)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert json.loads(got.partition(b"\r\n\r\n")[2])["error"] == "too_large"
    assert rig.blue.seen == []
    assert rig.lines(at_least=1)[-1]["arm"] == ""


def test_a_client_over_its_rate_is_a_429_that_counts_for_no_arm(start: Callable[..., Rig]) -> None:
    rig = start(rate_per_second=1, burst=5)
    connection = rig.connect()
    answers = [rig.ask(on=connection) for _ in range(40)]
    passed = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(passed) + len(refused) == 40
    assert passed[:6] == answers[:6]  # the burst; how many more pass is how long the forty take
    assert (refused[0].json["error"], refused[0].headers["retry-after"]) == ("too_many_requests", "1")
    assert len(rig.blue.seen) == len(passed)
    assert {line["arm"] for line in rig.lines(at_least=40) if line["status"] == 429} == {""}


def test_headers_and_addresses_that_are_too_long_are_answered_and_logged(rig: Rig) -> None:
    big = rig.raw(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX-Big: " + b"a" * 9000 + b"\r\n\r\n")
    long = rig.raw(b"POST /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    many = rig.raw(
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
        + b"".join(b"X-%d: %s\r\n" % (n, b"a" * 7000) for n in range(6))
    )
    assert [int(got.split(b" ")[1]) for got in (big, long, many)] == [431, 414, 431]
    assert json.loads(big.partition(b"\r\n\r\n")[2])["error"] == "headers_too_large"
    assert [line["status"] for line in rig.lines(at_least=3)] == [431, 414, 431]


def test_a_slow_client_is_let_go_and_holds_no_arm(start: Callable[..., Rig]) -> None:
    rig = start(client_timeout=1)
    rig.raw(b"POST /predict HTTP/1.1\r\nHost: loc", wait=60)
    rig.raw(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc", wait=60)
    assert (rig.blue.seen, rig.blue.connections) == ([], 0)
    # 408: the edge has ended it; a client that leaves is logged as 400 or 499.
    assert [(line["arm"], line["status"]) for line in rig.lines(at_least=2)] == [("", 408)] * 2
    assert rig.ask().status == 200


def test_plain_http_is_sent_on_to_https_and_only_to_names_of_ours(rig: Rig) -> None:
    def location(host: str) -> tuple[int, str | None]:
        connection = http.client.HTTPConnection("127.0.0.1", rig.config.http_port, timeout=5)
        connection.request("POST", "/predict?a=b", headers={"Host": host})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.getheader("Location")

    wanted = f"https://localhost:{rig.config.https_port}/predict?a=b"
    assert location("localhost:80") == (308, wanted)
    assert location("evil.example") == (308, wanted)


def test_plain_http_on_the_tls_port_is_a_clear_400(rig: Rig) -> None:
    with socket.create_connection(("127.0.0.1", rig.config.https_port), timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert plain.recv(100).startswith(b"HTTP/1.1 400 ")


def test_no_header_tells_a_version_and_every_answer_carries_the_protections(rig: Rig) -> None:
    for answer in (rig.ask(), rig.ask("/nothing")):
        assert answer.headers["server"] == "nginx"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors" in answer.headers["content-security-policy"]
