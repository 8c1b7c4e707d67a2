"""The lake on S3-compatible storage: a server that runs here, reached with the environment's credentials."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from coalmine.errors import CoalmineError
from coalmine.feedback import snapshots, upkeep
from coalmine.feedback.erasure import erase
from coalmine.feedback.lake import Lake
from coalmine.records import Kind, Query
from unit.feedback.filled import a_prediction, an_event, log, say, settings_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server is a process of its own: the lake's library holds the interpreter's lock while it waits for one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {
        "AWS_ACCESS_KEY_ID": "lake",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    quiet = subprocess.DEVNULL
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=quiet, stderr=quiet)
    try:
        client = boto3.client("s3", region_name="us-east-1", endpoint_url=given["AWS_ENDPOINT_URL"])
        end = time.monotonic() + 200
        while True:
            try:
                client.create_bucket(Bucket="models")
                break
            except EndpointConnectionError:
                assert server.poll() is None
                assert time.monotonic() < end
        yield "s3://models/coalmine"
    finally:
        server.kill()
        server.wait()


def test_all_that_a_folder_can_do_a_bucket_can(bucket: str, tmp_path: Path) -> None:
    """Ingest, join, increments, snapshot, compaction, erasure, check."""
    settings = settings_in(tmp_path, lake=bucket)
    rows = [a_prediction(f"text {number}", tenant="acme") for number in range(3)]
    log(settings, rows)
    say(settings, [an_event(row, 1, Kind.THUMB, 1.0, user=f"user-{row.id}") for row in rows])
    lake = Lake.open(settings)
    assert lake.ingest().predictions == 3
    assert lake.join().labels == 3
    say(settings, [an_event(rows[0], 2, Kind.CORRECTION, None, "negative")])
    assert (lake.ingest().feedback, lake.join().labels) == (1, 1)
    taken = snapshots.snapshot(lake, Query(tenant="acme"))
    before = snapshots.rows(lake, taken)
    say(settings, [an_event(rows[1], 2, Kind.CORRECTION, None, "negative")])
    lake.ingest()
    upkeep.compact(lake)
    assert lake.labels().sort("t").collect()["label"].to_list() == ["negative", "negative", "positive"]
    assert snapshots.rows(lake, taken).equals(before)
    assert all(finding.ok for finding in upkeep.check(lake))
    assert erase(lake, user=f"user-{rows[2].id}").snapshots == (taken.digest,)
    assert lake.labels().collect().height == 2
    assert not (tmp_path / "state" / "lake").exists()


def test_a_bucket_that_is_not_there_is_said_in_a_sentence(bucket: str, tmp_path: Path) -> None:
    """As one of our errors, with what to look at."""
    lake = Lake.open(settings_in(tmp_path, lake=bucket.replace("models", "nobodys")))
    with pytest.raises(CoalmineError, match=r"storage|table") as refused:
        lake.predictions().collect()
    assert refused.value.remedy
