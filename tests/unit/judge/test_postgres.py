"""What only a server can get wrong: two that start at once, a server that goes away, a password in a message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from coalmine.errors import BadInput
from coalmine.judge.store import Store
from unit.judge.postgres import Server
from unit.judge.running import Traffic, begin, judge

pytestmark = pytest.mark.slow
START = "import sys; from coalmine.judge.store import Store; Store(sys.argv[1]).close()"


def test_replicas_that_start_at_once_make_the_tables_once(postgres: Server) -> None:
    url = postgres.url("at-once")
    processes = [subprocess.Popen([sys.executable, "-c", START, url], stderr=subprocess.PIPE) for _ in range(4)]
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error.decode()
    with psycopg.connect(url) as link:
        assert link.execute("SELECT count(*) FROM lease").fetchone() == (1,)


def test_a_server_that_cannot_be_reached_is_said_without_its_password() -> None:
    with pytest.raises(BadInput) as caught:
        Store("postgresql://judge:hunter2@127.0.0.1:1/judge")
    assert "hunter2" not in str(caught.value)


def test_connections_that_the_server_dropped_are_made_anew(postgres: Server, tmp_path: Path) -> None:
    """A failover of the database: the judge goes on, and what it had read and not stored is read again."""
    url = postgres.url("dropped")
    with judge(tmp_path, database=url) as running:
        begin(running)
        traffic = Traffic(running, behind=-3600)
        for _ in range(3):
            traffic.step(30, 3)
            with psycopg.connect(url, autocommit=True) as link:
                link.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            assert running.hook("rollout")[0] in (200, 503)
        assert running.hook("rollout")[0] == 200
        assert running.analysis()["canary_requests"] == running.log.read_text().count('"arm": "canary"')
        polls = running.polls()
        assert len({(poll["t"], poll["metric"], poll["part"]) for poll in polls}) == len(polls)
