"""The access log: one JSON object a line whatever a client sends, and nothing in it that entitles to anything."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

from coalmine.edge import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.edge.conftest import Rig

SIGNATURE = "c2lnbmF0dXJlLXNlY3JldA"
TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("t", "seconds"), float),
    **dict.fromkeys(("weight", "epoch", "status", "bytes"), int),
    **dict.fromkeys(("id", "prediction", "arm", "slot", "release", "method", "path", "upstream_status"), str),
    **dict.fromkeys(("upstream_seconds", "service_ms", "attempt", "user", "tls", "traceparent", "client_id"), str),
}


def test_a_prediction_leaves_one_line_with_all_that_the_judge_counts(rig: Rig) -> None:
    rig.split(100)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    began = time.time()
    answer = rig.ask(headers={"X-Attempt": "2", "traceparent": trace, "X-Request-Id": "order-4711"})
    line = rig.lines(at_least=1)[-1]
    took = time.time() - began
    token = answer.headers["x-prediction-id"]
    assert token.split(".")[0] == line.pop("prediction")
    assert -0.01 < line.pop("t") - began < took + 0.01  # nginx's clock has milliseconds, and so rounds
    assert 0 <= float(line.pop("upstream_seconds")) < took + 0.01
    assert 0 <= float(line.pop("seconds")) < took + 0.01
    assert len(line.pop("id")) == 32
    assert line.pop("bytes") > 100
    assert line == {
        "arm": "canary",
        "slot": "green",
        "release": "m2-abc1235",
        "weight": 100,
        "epoch": 2,
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "upstream_status": "200",
        "service_ms": "1.3",
        "attempt": "2",
        "user": "",
        "tls": "TLSv1.3",
        "traceparent": trace,
        "client_id": "order-4711",
    }
    headers = rig.green.seen[0][1]
    assert (headers["traceparent"], headers["x-request-id"]) == (trace, "order-4711")


def test_whatever_a_client_sends_each_line_is_json_with_the_right_types(rig: Rig) -> None:
    host = b"Host: localhost\r\nContent-Length: 0\r\n"
    nasty = [
        b"POST /%22%0a%00%7f HTTP/1.1\r\n" + host + b"\r\n",
        b'POST /"quoted"\\ HTTP/1.1\r\n' + host + b"\r\n",
        b"POST /%ff%fe HTTP/1.1\r\n" + host + b"\r\n",
        b"POST /\xff\xfe\xc3\x28 HTTP/1.1\r\n" + host + b"\r\n",
        b'POST /predict?a=%0a"\xff HTTP/1.1\r\n' + host + b"\r\n",
        b'POST /predict HTTP/1.1\r\nX-Request-Id: a"b\xff\r\nX-Attempt: 1,"x":2\r\ntraceparent: "\xff\r\n'
        + host
        + b"\r\n",
        b"BREW /predict HTTP/1.1\r\n" + host + b"\r\n",
        b'"\xff GARBAGE\r\n\r\n',
        b"\x16\x03\x01\x00\r\n\r\n",
        b"GET /\r\n\r\n",
        b"POST /predict HTTP/1.1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a b\xff\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX-Folded: a\r\n b\r\nContent-Length: x\r\n\r\n",
    ]
    for request in nasty:
        rig.raw(request + b"", wait=0.3)
    lines = rig.lines(at_least=len(nasty))
    assert len(lines) >= len(nasty)
    for line in lines:
        assert {key: isinstance(line[key], kind) for key, kind in TYPES.items()} == dict.fromkeys(TYPES, True)
        assert set(line) == set(TYPES)
        assert len(json.dumps(line)) < 1500


def test_the_signature_of_a_prediction_id_is_in_no_log(rig: Rig) -> None:
    answer = rig.ask()
    assert SIGNATURE in answer.headers["x-prediction-id"]
    rig.ask("/feedback", headers={"X-Prediction-Id": answer.headers["x-prediction-id"]})
    rig.lines(at_least=2)
    written = b"".join(path.read_bytes() for path in rig.config.logs.iterdir())
    assert SIGNATURE.encode() not in written


def test_a_killed_nginx_has_written_every_outcome_that_a_client_has_seen(rig: Rig) -> None:
    connection = rig.connect()
    for _ in range(50):
        rig.ask(on=connection)
    time.sleep(0.02)  # the line follows the answer's last byte
    for pid in (*_children(rig.nginx.pid), rig.nginx.pid):
        os.kill(pid, signal.SIGKILL)
    rig.nginx.wait(30)
    assert len(rig.lines()) == 50


def test_after_the_log_is_moved_away_nginx_goes_on_in_a_new_one(rig: Rig) -> None:
    rig.ask()
    rig.lines(at_least=1)
    rig.config.access_log.rename(rig.config.access_log.with_suffix(".1"))
    assert process.reopen_logs(rig.config)
    until = time.monotonic() + 30
    while not rig.config.access_log.exists() and time.monotonic() < until:
        time.sleep(0.01)
    rig.ask()
    assert len(rig.lines(at_least=1)) == 1


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:  # noqa: PTH123 - no file on a disk
        return [int(child) for child in stream.read().split()]


def test_without_tracing_no_trace_is_made(rig: Rig) -> None:
    """Off by default: nothing is minted, and what is no traceparent is not passed on."""
    rig.split(100)
    rig.ask()
    rig.ask(headers={"traceparent": f"ff-{'1' * 32}-{'1' * 16}-01"})
    assert [line["traceparent"] for line in rig.lines(at_least=2)] == ["", ""]


def test_who_comes_without_a_trace_gets_one_and_the_log_has_it(start: Callable[..., Rig]) -> None:
    """Where tracing is on. A client's own is passed on; one that is none is replaced."""
    rig = start(trace_percent=100)
    rig.split(100)
    theirs = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    for number, given in enumerate(("", "00-0-0-01", f"ff{theirs[2:]}", f"00-{'0' * 32}-00f067aa0ba902b7-01"), 1):
        rig.ask(headers={"traceparent": given} if given else {})
        line = rig.lines(at_least=number)[-1]
        made = f"00-{line['id']}-{line['id'][:16]}-01"
        assert line["traceparent"] == rig.green.seen[-1][1]["traceparent"] == made
    rig.ask(headers={"traceparent": theirs})
    assert rig.lines(at_least=5)[-1]["traceparent"] == rig.green.seen[-1][1]["traceparent"] == theirs


def test_a_part_of_the_requests_is_traced(start: Callable[..., Rig]) -> None:
    """Half of them by the flag, and each has a trace of its own."""
    rig = start(trace_percent=50)
    rig.split(100)
    for _ in range(60):
        rig.ask()
    made = [line["traceparent"] for line in rig.lines(at_least=60)]
    flags = [one[-2:] for one in made]
    assert 5 < flags.count("01") < 55
    assert flags.count("00") == 60 - flags.count("01")
    assert len({one[3:35] for one in made}) == 60
