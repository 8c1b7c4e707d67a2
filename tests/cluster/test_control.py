"""The control plane alone: a real API on loopback, and nothing left of it afterwards."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from cluster.control import ControlPlane
from cluster.control_daemon import Daemon
from coalmine.errors import Broken

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]


@pytest.mark.cluster
@pytest.mark.timeout(900)  # the first run builds the API server
def test_what_was_written_is_there_after_a_restart_and_no_process_is_left_at_the_end(tmp_path: Path) -> None:
    kept = {"metadata": {"name": "kept"}}
    with ControlPlane(tmp_path) as plane, plane.client() as client:
        assert client.post("/api/v1/namespaces", json=kept).status_code == 201
    assert plane.api.pid() is None
    assert plane.etcd.pid() is None
    with plane, plane.client() as client:
        assert client.get("/api/v1/namespaces/kept").status_code == 200


def test_another_python_process_finds_and_stops_what_this_one_started(tmp_path: Path) -> None:
    started = Daemon("sleeper", tmp_path)
    started.start(SLEEP)
    found = Daemon("sleeper", tmp_path)  # as after a crash: only the pid file knows
    assert found.pid() is not None
    found.stop()
    assert started.pid() is None


def test_a_number_that_another_process_has_now_is_never_signalled(tmp_path: Path) -> None:
    daemon = Daemon("sleeper", tmp_path)
    daemon.start(SLEEP)
    pid = daemon.pid()
    (tmp_path / "other.pid").write_text(f"{pid} 1\n")  # another start time
    Daemon("other", tmp_path).stop()
    assert daemon.pid() == pid
    daemon.stop()


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    daemon = Daemon("deaf", tmp_path, patience=0.2)
    daemon.start(DEAF)
    while not daemon.tail():
        time.sleep(0.01)
    daemon.stop(signal.SIGTERM)
    assert daemon.pid() is None


def test_a_process_that_has_ended_is_told_with_its_last_words(tmp_path: Path) -> None:
    daemon = Daemon("brief", tmp_path)
    daemon.start([sys.executable, "-c", "raise SystemExit('no such flag')"])
    while daemon.pid() is not None:
        time.sleep(0.01)
    with pytest.raises(Broken, match="no such flag"):
        daemon.check()
