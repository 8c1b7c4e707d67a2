"""A real Airflow as a user starts it, and what its own REST interface says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from coalmine.local import airflow, process
from coalmine.local.controller import run_folder
from coalmine.local.scene import free_base
from e2e.runtime import Runtime

DAG = "retrain_sentiment"
PATIENCE = 600.0  # seconds; a busy machine takes minutes for what takes seconds


@dataclass(slots=True)
class Airflow:
    """One `coalmine airflow`, which may be killed and started again."""

    here: Runtime
    port: int
    child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until all of its parts are well."""
        line = [sys.executable, "-m", "coalmine.cli", "airflow", "--port", str(self.port)]
        said = self.here.settings.logs / "airflow.test"
        with said.open("wb") as log:
            child = subprocess.Popen(line, cwd=self.here.checkout, env=dict(self.here.env), stderr=log)
        self.child = child
        ready = lambda: child.poll() is not None or "Airflow is ready" in said.read_text()  # noqa: E731 - used once
        self.here.wait("Airflow answers", ready, seconds=PATIENCE)
        assert child.poll() is None, said.read_text()[-3000:]

    def stop(self) -> int:
        """As Ctrl-C would; its exit code."""
        assert self.child is not None
        self.child.send_signal(signal.SIGINT)
        return self.child.wait(timeout=PATIENCE)

    def kill(self) -> None:
        """The command alone, with no time for anything."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    def family(self) -> list[psutil.Process]:
        """All processes of its parts."""
        records = [process.read(run_folder(self.here.settings), name) for name in airflow.PARTS]
        return [psutil.Process(one.pid) for record in records if record for one in process.session(record)]

    def listens(self) -> set[tuple[str, int]]:
        """Each address on which one of them waits for others."""
        found = [line for one in self.family() for line in one.net_connections("inet")]
        return {(line.laddr.ip, line.laddr.port) for line in found if line.status == psutil.CONN_LISTEN}

    # ---- its REST interface -----------------------------------------------------------------------------------

    @property
    def password(self) -> str:
        told: dict[str, str] = json.loads(airflow.password_file(self.here.settings).read_text(encoding="utf-8"))
        return told["admin"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        base = f"http://127.0.0.1:{self.port}"
        with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
            login = client.post("/auth/token", json={"username": "admin", "password": self.password})
            bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
            found = client.request(method, f"/api/v2{path}", json=body, headers=bearer)
            assert found.status_code < 300, (path, found.status_code, found.text)
            return found.json() if found.content else None

    def trigger(self, **form: Any) -> str:
        """By hand; returns the run's id."""
        made = self.ask("POST", f"/dags/{DAG}/dagRuns", {"logical_date": None, "conf": form})
        return str(made["dag_run_id"])

    def state(self, run: str) -> str:
        return str(self.ask("GET", f"/dags/{DAG}/dagRuns/{run}")["state"])

    def tasks(self, run: str) -> dict[str, tuple[str, int]]:
        """By task: its state, and which try that was."""
        found = self.ask("GET", f"/dags/{DAG}/dagRuns/{run}/taskInstances")["task_instances"]
        return {one["task_id"]: (str(one["state"]), int(one["try_number"])) for one in found}

    def links(self, run: str, task: str) -> dict[str, str]:
        """By title: where a task's Details lead."""
        found = self.ask("GET", f"/dags/{DAG}/dagRuns/{run}/taskInstances/{task}/links")["extra_links"]
        return {title: address for title, address in found.items() if address}

    def ended(self, run: str) -> str:
        ended = lambda: self.state(run) in {"success", "failed"}  # noqa: E731 - used once
        self.here.wait(f"the end of {run}", ended, seconds=PATIENCE)
        return self.state(run)


@contextmanager
def scheduled(here: Runtime) -> Iterator[Airflow]:
    """Started, and ended in any case."""
    made = Airflow(here, free_base(26443))
    try:
        made.start()
        yield made
    finally:
        if made.child is not None and made.child.poll() is None:
            made.stop()
        airflow.end(here.settings)
