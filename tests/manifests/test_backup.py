"""Copies in a cluster: what the CronJobs say, and that their very command lines copy and bring back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from coalmine.local import backup as backups
from manifests.rendered import Object, build, containers, of_cluster, where
from unit.judge.postgres import programs, server

FOLDER = "gitops/clusters/production/backup"


def cronjobs(root: Path) -> dict[str, Object]:
    """By namespace and name."""
    found = [one for one in build(root, FOLDER) if one["kind"] == "CronJob"]
    return {f"{one['metadata']['namespace']}/{one['metadata']['name']}": one for one in found}


def template(one: Object) -> Object:
    made: Object = one["spec"]["jobTemplate"]["spec"]["template"]
    return made


def test_registry_judge_closer_and_airflow_are_copied_every_night(root: Path) -> None:
    """At a moment of its own each, never two at once; the way back of each is there and starts nothing by itself."""
    found = cronjobs(root)
    nightly = {"coalmine/backup-judge", "coalmine/backup-closer", "mlflow/backup-mlflow", "airflow/backup-database"}
    assert {name for name, one in found.items() if not one["spec"].get("suspend")} == nightly
    assert {name.replace("restore", "backup") for name, one in found.items() if one["spec"].get("suspend")} == nightly
    times = [found[name]["spec"]["schedule"].split() for name in nightly]
    assert len({f"{hour}:{minute}" for minute, hour, *_ in times}) == len(times)
    assert all(rest == ["*", "*", "*"] for _, _, *rest in times)
    assert {one["spec"]["concurrencyPolicy"] for one in found.values()} == {"Forbid"}


def test_a_copy_is_made_by_somebody_with_no_right_and_no_way_out(root: Path) -> None:
    """No token, no Role; by the network the database at most."""
    everything = of_cluster(root, "production")
    bound = [s["name"] for one in everything if "RoleBinding" in one["kind"] for s in one["subjects"]]
    policies = {where(one): one["spec"] for one in everything if one["kind"] == "NetworkPolicy"}
    for name, one in cronjobs(root).items():
        pod, labels = template(one)["spec"], template(one)["metadata"]["labels"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["serviceAccountName"] not in bound, name
        of = f"NetworkPolicy {one['metadata']['namespace']}/{pod['serviceAccountName']}"
        assert policies[of]["podSelector"]["matchLabels"] == labels, name
        ports = {port["port"] for rule in policies[of].get("egress", ()) for port in rule["ports"]}
        assert ports <= {5432, 53}, name


def test_what_is_copied_is_mounted_by_who_writes_it(root: Path) -> None:
    """The claim is one that a Deployment beside mounts, and the copy runs on that one's node."""
    everything = of_cluster(root, "production")
    mounted = {
        (one["metadata"]["namespace"], volume["persistentVolumeClaim"]["claimName"]): one
        for one in everything
        if one["kind"] == "Deployment"
        for volume in one["spec"]["template"]["spec"].get("volumes", ())
        if "persistentVolumeClaim" in volume
    }
    for name, one in cronjobs(root).items():
        if "/backup-" not in name or name.endswith("-database"):
            continue
        pod = template(one)["spec"]
        claim = next(v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if v["name"] == "data")
        owner = mounted[one["metadata"]["namespace"], claim]
        beside = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert beside[0]["labelSelector"]["matchLabels"] == owner["spec"]["template"]["metadata"]["labels"], name


def ran(one: Object, folders: Mapping[str, Path], environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """A Job's containers one after the other, as kubelet would; what those of ours printed."""
    said = []
    for container in containers(template(one)):
        line = container.get("command") or ["coalmine", *container["args"]]
        for mount, folder in folders.items():
            line = [word.replace(mount, str(folder)) for word in line]
        line = [word.replace("$(PGDATABASE)", environment.get("PGDATABASE", "")) for word in line]
        program = [sys.executable, "-m", "coalmine.cli"] if line[0] == "coalmine" else [str(programs() / line[0])]
        done = subprocess.run(
            [*program, *line[1:]], env=os.environ | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        said += [json.loads(done.stdout)] if line[0] == "coalmine" else []
    return said


def test_a_claim_comes_back_by_the_jobs_own_command_lines(root: Path, tmp_path: Path) -> None:
    """Copied, verified, put back into an empty volume: the same digest three times, and each file by its own."""
    found = cronjobs(root)
    data, copies, empty = tmp_path / "data", tmp_path / "copies", tmp_path / "empty"
    (data / "artifacts").mkdir(parents=True)
    (data / "artifacts" / "model.pkl").write_bytes(b"weights")
    empty.mkdir()
    made = ran(found["mlflow/backup-mlflow"], {"/data": data, "/backups": copies}, {})
    back = ran(found["mlflow/restore-mlflow"], {"/data": empty, "/backups": copies}, {})
    assert len({one["digest"] for one in [*made, *back]}) == 1
    assert backups.mismatches(empty, backups.load(copies)) == []


@pytest.mark.slow
def test_a_database_comes_back_by_the_jobs_own_command_lines(root: Path, tmp_path: Path) -> None:
    """A real PostgreSQL: what was there at the dump is there again, what came later is not."""
    found = cronjobs(root)
    with server() as postgres:
        url = postgres.url("airflow")
        with psycopg.connect(url, autocommit=True) as link:
            link.execute("CREATE TABLE dag_run (id serial PRIMARY KEY, state text)")
            link.execute("INSERT INTO dag_run (state) VALUES ('success'), ('failed')")
        environment = {"PGHOST": str(postgres.folder), "PGUSER": "judge", "PGDATABASE": "airflow"}
        folders = {name: tmp_path / name for name in ("work", "copies", "again")}
        for folder in folders.values():
            folder.mkdir()
        made = ran(
            found["airflow/backup-database"], {"/work": folders["work"], "/backups": folders["copies"]}, environment
        )
        with psycopg.connect(url, autocommit=True) as link:
            link.execute("UPDATE dag_run SET state = 'lost'")
            link.execute("INSERT INTO dag_run (state) VALUES ('later')")
        back = ran(
            found["airflow/restore-database"], {"/work": folders["again"], "/backups": folders["copies"]}, environment
        )
        assert len({one["digest"] for one in [*made, *back]}) == 1
        with psycopg.connect(url) as link:
            assert link.execute("SELECT id, state FROM dag_run ORDER BY id").fetchall() == [
                (1, "success"),
                (2, "failed"),
            ]
