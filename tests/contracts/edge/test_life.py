"""nginx over its life: arms come and go behind it, supervisors die before it, a pod has one arm only."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from coalmine.edge import certificates, process
from coalmine.edge.config import Fixed

if TYPE_CHECKING:
    from contracts.edge.conftest import Answer, Rig, Upstream


def test_another_arm_on_the_same_slot_is_met_without_a_failed_request(
    rig: Rig, upstream: Callable[..., Upstream]
) -> None:
    """Kept connections to the old arm are gone with it: nginx drops them on its FIN."""
    connection = rig.connect()
    for _ in range(20):
        rig.ask(on=connection)
    rig.blue.stop()
    upstream("blue2", port=rig.blue.port)
    answers = [rig.ask(on=connection) for _ in range(20)]
    assert {(answer.status, answer.json["by"]) for answer in answers} == {(200, "blue2")}


def test_stop_lets_the_requests_in_flight_end(rig: Rig) -> None:
    rig.blue.delay = 0.7
    got: list[Answer] = []
    client = threading.Thread(target=lambda: got.append(rig.ask()))
    client.start()
    while not rig.blue.seen:
        time.sleep(0.01)
    assert process.running(rig.config) == rig.nginx.pid
    assert process.stop(rig.config)
    client.join(30)
    assert [answer.status for answer in got] == [200]
    assert rig.nginx.wait(30) == 0
    assert process.running(rig.config) is None


def test_in_a_pod_every_request_goes_to_the_one_arm_and_is_logged_with_its_release(start: Callable[..., Rig]) -> None:
    rig = start(fixed=Fixed("canary", "m2-abc1235"))
    answer = rig.ask()
    assert (answer.json["by"], answer.headers["x-coalmine-release"]) == ("blue", "m2-abc1235")
    line = rig.lines(at_least=1)[-1]
    assert (line["arm"], line["release"], line["weight"], line["epoch"]) == ("canary", "m2-abc1235", 0, 0)
    assert rig.ask("/metrics", method="GET").status == 404


def test_a_split_removed_by_hand_is_an_error_of_the_edge_and_of_no_arm(rig: Rig) -> None:
    (rig.config.split / "current").unlink()
    answer = rig.ask()
    assert answer.status == 503
    assert rig.lines(at_least=1)[-1]["arm"] == ""
    rig.split(0)
    assert rig.ask().status == 200


def test_more_requests_at_once_than_one_address_may_have_are_429(start: Callable[..., Rig]) -> None:
    rig = start(connections_per_address=2)
    rig.blue.delay = 1.0
    got: list[int] = []
    clients = [threading.Thread(target=lambda: got.append(rig.ask().status)) for _ in range(5)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(30)
    assert sorted(got) == [200, 200, 429, 429, 429]


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run unprivileged then")
def test_it_runs_without_privileges(rig: Rig) -> None:
    rig.nginx.terminate()
    rig.nginx.wait(30)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        config = replace(
            rig.config,
            state=root / "edge",
            split=root / "edge",
            certificates=root / "tls",
            logs=root / "logs",
            access_log=root / "logs" / "access.jsonl",
            user="",
        )
        certificates.ensure(config.certificates, config.server_names)
        process.prepare(config)
        subprocess.run(["chown", "-R", "nobody", folder], check=True)
        rig.nginx = subprocess.Popen(process.command(config), user="nobody", group="nogroup", extra_groups=[])
        rig.config = config
        try:
            until = time.monotonic() + 30
            while process.running(config) is None and time.monotonic() < until:
                time.sleep(0.01)
            rig.split(100)
            assert rig.ask().json["by"] == "green"
            assert rig.lines(at_least=1)[-1]["arm"] == "canary"
            assert config.access_log.owner() == "nobody"
        finally:
            rig.nginx.terminate()
            rig.nginx.wait(30)


def test_the_salt_is_made_once_and_kept_to_its_owner(tmp_path: Path) -> None:
    salt = process.user_salt(tmp_path / "edge")
    assert len(salt) == 32
    assert process.user_salt(tmp_path / "edge") == salt
    assert (tmp_path / "edge" / "salt").stat().st_mode & 0o777 == 0o600
