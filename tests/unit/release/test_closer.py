"""After a verdict registry, git, quarantine and report agree with what serves, once, whoever dies when."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from coalmine.errors import BadInput, Temporary
from coalmine.records import Ending, Outcome
from coalmine.release.alias import Registry
from coalmine.release.closer import close
from coalmine.release.ledger import Ledger
from coalmine.settings import Ports

from .conftest import M1, M2, M3, Site

POINTS = [
    f"{moment} {step}"
    for step in ("quarantine", "heal", "alias", "tags", "report")
    for moment in ("doing", "did", "recorded")
]
CLOSE = """
import json, os, signal, sys
from pathlib import Path
from coalmine.records import Ending, Outcome, ReleaseId
from coalmine.release.closer import close
from coalmine.release.ledger import Ledger
from coalmine.settings import Ports, Settings
project, state, commit, port, point = sys.argv[1:]
ending = Ending("sentiment", 7, ReleaseId.parse("m2-abc1234"), ReleaseId.parse("m1-abc1234"), Outcome.ROLLED_BACK,
                "errors: 31 of 400 against 2 of 1600", commit, 1000.0, 1020.0, True)
ports = Ports(mlflow=int(port), judge=1)
settings = Settings(project=Path(project), state=Path(state), model="sentiment", ports=ports)
close(settings, ending, at=lambda passed: os.kill(os.getpid(), signal.SIGKILL) if passed == point else None)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real MLflow server with model sentiment in versions 1, 2 and 3; yields its port."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", str(folder)]
    command = [sys.executable, "-m", "mlflow", "server", *store, "--workers", "1", "--port", str(port)]
    environ = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server)
        api = f"http://127.0.0.1:{port}/api/2.0/mlflow"
        requests.post(f"{api}/registered-models/create", json={"name": "sentiment"}, timeout=30).raise_for_status()
        for _ in range(3):
            made = {"name": "sentiment", "source": "s3://nowhere/model"}
            requests.post(f"{api}/model-versions/create", json=made, timeout=30).raise_for_status()
        yield port
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until:
        assert server.poll() is None
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.RequestException:
            time.sleep(0.3)
    pytest.fail("MLflow did not start")


def at(site: Site, port: int) -> Site:
    settings = site.settings.model_copy(update={"ports": Ports(mlflow=port, judge=1)})
    return replace(site, settings=settings)


@pytest.fixture
def offline(site: Site) -> Site:
    """Neither MLflow nor the judge answers."""
    return at(site, 1)


def failed(site: Site) -> Ending:
    site.runs(M1)
    site.know(M2)
    sha = site.name(M2)
    assert site.push().code == 0
    return site.ending(M2, M1, sha)


def test_without_mlflow_everything_else_is_done_and_the_closing_waits(offline: Site) -> None:
    ending = failed(offline)
    with pytest.raises(Temporary, match=r"waits for: tags \(.*MLflow does not answer"):
        close(offline.settings, ending)
    assert list(offline.ledger.steps(ending)) == ["quarantine", "heal", "alias", "report"]
    assert offline.ledger.steps(ending)["heal"] == offline.main
    assert offline.ledger.closings("sentiment", unfinished=True) == [ending]
    assert offline.ledger.quarantined("sentiment", M2) is not None


def test_a_superseded_attempt_changes_nothing_but_the_record(offline: Site) -> None:
    ending = replace(failed(offline), outcome=Outcome.SUPERSEDED)
    before = offline.main
    close(offline.settings, ending)
    assert offline.main == before
    assert offline.ledger.quarantined("sentiment", M2) is None
    assert list(offline.ledger.steps(ending)) == ["report"]
    assert offline.ledger.closings("sentiment", unfinished=True) == []


def test_a_git_that_fails_is_waited_for_not_written_off(offline: Site) -> None:
    ending = failed(offline)
    away = offline.bare.path.with_name("away")
    offline.bare.path.rename(away)
    offline.bare.path.mkdir()
    with pytest.raises(Temporary):
        close(offline.settings, ending)
    offline.bare.path.rmdir()
    away.rename(offline.bare.path)
    with pytest.raises(Temporary, match="waits for: tags"):
        close(offline.settings, ending)
    assert offline.ledger.steps(ending)["heal"] == offline.main


@pytest.mark.slow
def test_the_alias_moves_once_and_says_what_it_was(mlflow: int) -> None:
    models = Registry(f"http://127.0.0.1:{mlflow}", "sentiment")
    assert models.alias("mark") is None
    assert models.point(1, "mark") is None
    assert models.point(2, "mark") == 1
    assert models.point(2, "mark") == 2
    assert models.alias("mark") == 2
    with pytest.raises(BadInput, match="version 9"):
        models.point(9, "mark")
    models.tag(2, {"coalmine.verdict": "x" * 9000})
    models.tag(9, {"coalmine.verdict": "of a version that was deleted"})
    assert Registry(f"http://127.0.0.1:{mlflow}", "weather").alias("mark") is None


@pytest.mark.slow
def test_a_promotion_moves_champion_and_a_rollback_in_the_bake_moves_it_back(site: Site, mlflow: int) -> None:
    site = at(site, mlflow)
    models = Registry(site.settings.mlflow_url, "sentiment")
    ending = failed(site)
    close(site.settings, site.ending(M1, M1, ending.commit, attempt=6, outcome=Outcome.FIRST_RELEASE))
    assert models.alias() == 1
    close(site.settings, replace(ending, outcome=Outcome.PROMOTED, primary=M2))
    assert models.alias() == 2
    close(site.settings, replace(ending, baked=True))
    assert models.alias() == 1
    assert site.deployed() is not None
    assert str(M1) in (site.deployed() or "")
    close(site.settings, replace(ending, outcome=Outcome.PROMOTED, primary=M2))
    assert models.alias() == 1


@pytest.mark.slow
def test_a_late_promotion_does_not_take_the_alias_from_a_newer_one(site: Site, mlflow: int) -> None:
    ending = failed(site)
    late = replace(ending, outcome=Outcome.PROMOTED, primary=M2)
    with pytest.raises(Temporary):
        close(at(site, 1).settings, late)
    site = at(site, mlflow)
    close(site.settings, site.ending(M3, M3, ending.commit, attempt=8, outcome=Outcome.PROMOTED))
    close(site.settings, late)
    assert Registry(site.settings.mlflow_url, "sentiment").alias() == 3
    assert site.ledger.steps(late)["alias"] == "left: attempt 8 came after"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_kill_at_any_point_of_a_closing_is_made_good_by_the_next_call(site: Site, mlflow: int) -> None:
    site = at(site, mlflow)
    ending = failed(site)
    start = site.main or ""
    models = Registry(site.settings.mlflow_url, "sentiment")
    command = [sys.executable, "-c", CLOSE, str(site.settings.project), str(site.settings.state), ending.commit]
    for point in POINTS:
        for file in site.settings.state.glob("coalmine.db*"):
            file.unlink()
        site = replace(site, ledger=Ledger(site.settings.database))
        site.know(M1)
        site.know(M2)
        site.bare.run("update-ref", "refs/heads/main", start)
        models.point(2)
        killed = subprocess.run([*command, str(mlflow), point], check=False)
        assert killed.returncode == -signal.SIGKILL, point
        subprocess.run([*command, str(mlflow), "nowhere"], check=True)
        assert models.alias() == 1, point
        assert site.bare.run("rev-list", "--count", f"{start}..main").strip() == "1", point
        assert len(site.ledger.quarantines("sentiment")) == 1, point
        assert list(site.ledger.steps(ending)) == ["quarantine", "heal", "alias", "tags", "report"], point
        assert site.ledger.closings("sentiment", unfinished=True) == [], point
        (_, report) = site.ledger.reports("sentiment")[0]
        assert json.loads(Path(report.json).read_text(encoding="utf-8"))["release"] == str(M2)
