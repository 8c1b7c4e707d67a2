"""Where two parts meet: the edge and its clients, a judge that is silent, the commands."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from coalmine.edge import certificates
from coalmine.feedback import token
from coalmine.local import process, up
from coalmine.local.controller import run_folder
from coalmine.local.scene import People
from coalmine.records import Outcome, ReleaseId
from coalmine.settings import Settings
from e2e.runtime import STICKY, Runtime
from unit.serving.otlp import Got, Receiver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("calm")]


# ---- the edge -----------------------------------------------------------------------------------------------------


def test_a_certificate_is_renewed_under_load_without_a_loss(runtime: Runtime, people: People) -> None:
    """Open connections go on, new handshakes see the new certificate, each chain holds."""
    here, served = runtime.settings, set()
    with runtime.client() as kept:
        for _ in range(5):
            assert kept.post("/predict", json={"text": "a fine day"}).status_code == 200
            certificates.renew(here.tls, here.server_names)
            _, der = _handshake(here, _trust(here))
            served.add(x509.load_der_x509_certificate(der).serial_number)
            time.sleep(0.4)
    assert len(served) == 5
    seen = people.seen()
    assert (seen["lost"], seen["refused"], sum(arm["failed"] for arm in seen["arms"])) == (0, 0, 0)
    assert sum(arm["requests"] for arm in seen["arms"]) > 50


def test_the_edge_speaks_modern_tls_only_and_to_whom_it_should(runtime: Runtime, tmp_path: Path) -> None:
    """1.3 by default, 1.1 refused by the server, another CA's client refuses, plain HTTP is sent to HTTPS."""
    here = runtime.settings
    assert _handshake(here, _trust(here))[0] == "TLSv1.3"
    other = certificates.ensure(tmp_path, ("localhost",))
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(here, ssl.create_default_context(cafile=str(other.ca)))
    old = _trust(here)
    old.set_ciphers("DEFAULT:@SECLEVEL=0")  # else the client itself would refuse, and the server not be asked
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        _handshake(here, old)
    answer = httpx.get(f"http://127.0.0.1:{here.ports.http}/predict?a=1", headers={"Host": "localhost"})
    target = f"https://localhost:{here.ports.https}/predict?a=1"
    assert (answer.status_code, answer.headers["Location"]) == (308, target)


def test_only_a_signed_first_vote_counts(runtime: Runtime) -> None:
    """Through the edge: repeated is fine, changed, forged, malformed and unheard-of are told so, each in words."""
    with runtime.client() as client:
        told = client.post("/predict", json={"text": "a fine day"})
        signed = told.json()["prediction_id"]
        assert told.headers["X-Prediction-Id"] == signed
        stem, _, signature = signed.rpartition(".")
        altered = f"{stem}.{base64.urlsafe_b64encode(bytes(16)).decode().rstrip('=')}"
        assert altered != signed
        other = f"{stem.split('.')[0]}.m1-0000000.{signature}"
        cases: list[tuple[Any, int, str]] = [
            ({"prediction_id": altered, "thumb": "down"}, 403, "prediction_id"),
            ({"prediction_id": other, "thumb": "down"}, 403, "prediction_id"),
            ({"prediction_id": "no id", "thumb": "down"}, 422, "prediction_id"),
            ({"thumb": "down"}, 422, "prediction_id"),
            ({"prediction_id": signed}, 422, "thumb"),
            ({"prediction_id": signed, "thumb": "sideways"}, 422, "thumb"),
            ({"prediction_id": signed, "thumb": "up", "weight": 1000}, 422, "weight"),
            ({"prediction_id": signed, "thumb": "up"}, 200, ""),
            ({"prediction_id": signed, "thumb": "up"}, 200, ""),
            ({"prediction_id": signed, "thumb": "down"}, 409, ""),
        ]
        for body, status, field in cases:
            answer = client.post("/feedback", json=body)
            assert (answer.status_code, answer.json().get("field", "")) == (status, field), (body, answer.text)
            assert status == 200 or answer.json()["error"]
        assert client.post("/feedback", content=b"{not json").status_code == 400
        assert client.get("/feedback").status_code == 405
        assert client.get("/metrics").status_code == client.get("/readyz").status_code == 404


def test_a_trace_leads_from_nginx_through_the_served_bento_to_the_vote(runtime: Runtime, traces: Receiver) -> None:
    """nginx makes it, for a client that knows nothing of traces; all who come after say the same trace's id."""
    with runtime.client() as client:
        answers = (client.post("/predict", json={"text": "a fine day"}).json() for _ in range(2000))
        signed = next(told["prediction_id"] for told in answers if told["prediction_id"].count(".") == 3)
        assert client.post("/feedback", json={"prediction_id": signed, "thumb": "up"}).status_code == 200
    key = runtime.settings.feedback_key.read_bytes()
    trace = token.verify(signed, key=key).trace[:32]
    names = {"POST /predict", "wait", "tokenise", "features", "model", "POST /feedback"}

    def arrived() -> dict[str, Got] | None:
        spans = {span.name: span for span in list(traces.spans) if span.trace == trace}
        return spans if names <= set(spans) else None

    found = runtime.wait("the spans of one trace", arrived, seconds=60)
    lines = map(json.loads, runtime.settings.access_log.read_text().splitlines())
    (edge,) = [row for row in lines if row["traceparent"][3:35] == trace and row["path"] == "/predict"]
    assert edge["traceparent"][36:52] == found["POST /predict"].parent
    assert {found[name].parent for name in names - {"POST /predict"}} == {found["POST /predict"].span}
    assert found["POST /predict"].attributes["prediction.id"] == signed.split(".")[0]
    assert (found["model"].service, found["POST /feedback"].service) == ("coalmine-arm", "coalmine-feedback")


# ---- a canary, seen by its users and by a judge that stops --------------------------------------------------------


def test_users_stay_on_their_arm_and_a_dead_judge_gives_the_traffic_back(runtime: Runtime, people: People) -> None:
    """Whoever met the canary at a weight meets it at every larger one; a silent judge holds, then weight 0, then on."""
    release = runtime.build(2)
    attempt = runtime.push(release)
    with _users(runtime, 40):
        runtime.canary_at(50)
        time.sleep(0.5)
        judge = process.read(run_folder(runtime.settings), "judge")
        assert judge is not None
        os.kill(judge.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            runtime.wait("weight 0", lambda: runtime.weight() == 0, seconds=25)
            held = time.monotonic() - began
            assert runtime.attempt() == attempt
            assert runtime.candidate() == ReleaseId.parse(release)
        finally:
            os.kill(judge.pid, signal.SIGCONT)
        assert held > 4, f"given back after {held:.1f} s: the policy allows 6 s of silence"
        runtime.canary_at(20)
        ending = runtime.ended(attempt)
    assert (ending.outcome, str(ending.release)) == (Outcome.PROMOTED, release), ending.reason
    seen = people.seen()
    assert (seen["lost"], sum(arm["failed"] for arm in seen["arms"])) == (0, 0)
    _assert_sticky(runtime, release, since=ending.started)


def _assert_sticky(runtime: Runtime, release: str, *, since: float) -> None:
    met: dict[str, set[int]] = {}
    missed: dict[str, set[int]] = {}
    for line in runtime.settings.access_log.read_text().splitlines():
        row = json.loads(line)
        if row["user"] and row["t"] > since and row["weight"] > 0:
            side = met if (row["arm"], row["release"]) == ("canary", release) else missed
            side.setdefault(row["user"], set()).add(row["weight"])
    users = met.keys() | missed.keys()
    assert len(users) == 40
    assert 2 <= sum(20 in met.get(user, set()) for user in users) <= 20  # some 8 of 40
    for user, weights in met.items():
        assert min(weights) > max(missed.get(user, {0})), user


@contextmanager
def _users(runtime: Runtime, number: int) -> Iterator[None]:
    """So many users who ask again and again, each with a name of their own, over a connection that is kept."""
    ended = threading.Event()

    def ask() -> None:
        with runtime.client() as client:
            while not ended.is_set():
                for user in range(number):
                    client.post("/predict", json={"text": "a fine day"}, headers={STICKY: f"user-{user}"})
                    time.sleep(0.005)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# ---- the commands -------------------------------------------------------------------------------------------------


def test_commands_speak_to_machines_and_name_the_remedy(runtime: Runtime) -> None:
    """`--json` is JSON; a mistake is exit 2, a refusal exit 3, on standard error and with what to do."""
    status = json.loads(runtime.cli("--json", "status"))
    assert (status["running"], status["problem"], set(status["parts"].values())) == (True, "", {True})
    assert status["rollout"]["primary"] in {one["release"] for one in status["releases"] if one["primary"]}
    findings = json.loads(runtime.cli("--json", "doctor"))
    assert {"Python", "git", "nginx", "packages", "disk"} <= {finding["what"] for finding in findings}
    quarantined = [one["release"] for one in status["releases"] if one["quarantined"]]
    for arguments, code in (
        (("release", "m9-0123456"), 2),
        (("release", "latest-but-one"), 2),
        (("release", status["rollout"]["primary"], "--fault", "smells=1"), 2),
        (("report", "m9-0123456"), 2),
        (("up", "-d"), 3),
        (("up", "--quiet"), 3),
        *((("release", release), 3) for release in quarantined[:1]),
    ):
        done = runtime.try_cli(*arguments)
        assert done.returncode == code, (arguments, done.returncode, done.stderr)
        assert "remedy" in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    assert json.loads(runtime.cli("--json", "status"))["rollout"]["attempt"] == status["rollout"]["attempt"]


def test_down_leaves_nothing_and_up_goes_on(runtime: Runtime) -> None:
    """No process of the session outlives it, a second `down` is fine, and afterwards the same release serves."""
    before, attempt = runtime.rollout()["primary"], runtime.attempt()
    records = [process.read(run_folder(runtime.settings), name) for name in (up.CONTROLLER, *up.ORDER)]
    family = [member for record in records if record is not None for member in process.session(record)]
    assert len(family) >= 8  # nginx has a worker
    assert json.loads(runtime.cli("--json", "down")) == {"ran": True}
    assert [member for member in family if process.alive(member)] == []
    assert json.loads(runtime.cli("--json", "down")) == {"ran": False}
    told = json.loads(runtime.cli("--json", "status"))
    assert told["running"] is False
    runtime.cli("up", "-d")
    runtime.wait("it serves", lambda: _serves(runtime) == before, seconds=60)
    assert runtime.attempt() == attempt


def _serves(runtime: Runtime) -> str:
    try:
        with runtime.client() as client:
            answer = client.post("/predict", json={"text": "a fine day"})
    except httpx.HTTPError:
        return ""
    return str(answer.headers.get("X-Coalmine-Release", "")) if answer.status_code == 200 else ""


# ---- small things -------------------------------------------------------------------------------------------------


def _trust(here: Settings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(here.tls / "ca.pem"))


def _handshake(here: Settings, context: ssl.SSLContext) -> tuple[str | None, bytes]:
    with (
        socket.create_connection(("127.0.0.1", here.ports.https), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.version(), secure.getpeercert(binary_form=True) or b""
