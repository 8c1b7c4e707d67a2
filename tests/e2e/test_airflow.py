"""The whole loop through a real Airflow: people's votes become the next release, and nobody touches anything."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coalmine.local import airflow, process
from coalmine.local.controller import run_folder
from coalmine.pipeline.plan import runs_of
from coalmine.records import Outcome
from e2e.runtime import Runtime, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Votes alone start a run, and at once: the clock plays no part in the test.
RETRAINING = """\
schema: 1
when: {every_hours: null, labels: 1500, drift: false, pause_minutes: 0}
how: {domains: [tweets]}
"""


@contextmanager
def scheduled(here: Runtime) -> Iterator[subprocess.Popen[bytes]]:
    """Airflow as a user starts it; ended as Ctrl-C would."""
    port = _free()
    line = [sys.executable, "-m", "coalmine.cli", "airflow", "--port", str(port)]
    child = subprocess.Popen(line, cwd=here.checkout, env=dict(here.env), stderr=subprocess.DEVNULL)
    try:
        here.wait("Airflow answers", lambda: child.poll() is not None or airflow.answers(port), seconds=400)
        assert child.poll() is None, (here.settings.logs / "airflow.log").read_text()[-3000:]
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=90) == 0


def test_votes_become_a_promoted_release_with_nobody_touching_anything(tmp_path: Path) -> None:
    """The threshold is reached, Airflow's run trains and releases, the canary is promoted; then all of it ends."""
    with started(tmp_path, base=25443) as here:
        here.commit("bentos/sentiment/retraining.yaml", RETRAINING, why="train when people have voted")
        here.git("push", "--quiet", "coalmine", "HEAD:main")
        with scheduled(here):
            record = process.read(run_folder(here.settings), airflow.NAME)
            assert record is not None
            here.crowd(rate=60, domain="reviews").ask(rate=60, domain="reviews", split="feedback")
            ending = here.ended(2, seconds=600)
        assert not process.session(record), "Airflow's parts have ended with it"
        assert (ending.outcome, ending.release.version) == (Outcome.PROMOTED, 2)
        run = runs_of(here.settings).latest()[-1]
        assert (run.reason, run.outcome) == ("labels", "released")
        assert run.id.startswith("asset_triggered__")
        assert str(ending.release) in run.detail
        assert here.champion() == 2


def _free() -> int:
    """The first of three neighbouring free ports on loopback."""
    for port in range(26443, 27443, 3):
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            try:
                for probe, number in ((one, port), (two, port + 1), (three, port + 2)):
                    probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return port
    raise AssertionError("no free ports")
