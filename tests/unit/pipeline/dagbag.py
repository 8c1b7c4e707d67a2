"""Parses pipelines/dags with Airflow's own DagBag, for both ways of running: `python dagbag.py < nothing`, JSON out.

In a process of its own: Airflow reads its home at import and warns of its own imports.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def task(found: Any) -> dict[str, Any]:
    """What a test asks of a task."""
    pod = type(found).__name__ == "StepPod"
    return {
        "operator": type(found).__name__,
        "after": sorted(found.upstream_task_ids),
        "retries": found.retries,
        "xcom": found.do_xcom_push,
        "links": [link.name for link in found.operator_extra_links],
        "arguments": found.arguments if pod else [],
        "command": found.cmds if pod else [],
        "limits": found.container_resources.limits if pod else {},
        "model": found.env_vars["COALMINE_MODEL"] if pod else found.model,
        "user": found.security_context["runAsUser"] if pod else None,
    }


def parse() -> dict[str, Any]:
    """The example's DAG as Airflow sees it, and what went wrong."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 (after its home is set)
    from airflow.sdk import Asset  # noqa: PLC0415 (as above)

    bag = DagBag(ROOT / "pipelines" / "dags")
    if bag.import_errors:
        return {"errors": bag.import_errors}
    dag = bag.dags["retrain_sentiment"]
    schedule: Any = dag.timetable
    assets = list(schedule.asset_condition.objects)
    return {
        "errors": {},
        "dags": sorted(bag.dags),
        "doc": dag.doc_md,
        "schedule": type(schedule).__name__,
        "cron": schedule.timetable.expression,
        "assets": [asset.name for asset in assets],
        "watchers": [w.trigger.serialize() for asset in assets if isinstance(asset, Asset) for w in asset.watchers],
        "params": {name: dag.params.get_param(name).description for name in dag.params},
        "active": dag.max_active_runs,
        "catchup": dag.catchup,
        "tasks": {found.task_id: task(found) for found in dag.tasks},
    }


def main() -> None:
    os.environ["AIRFLOW_HOME"] = sys.argv[1]
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT"] = "400"  # a busy machine is no failure
    os.environ.pop("COALMINE_IMAGE", None)
    os.environ["COALMINE_MODEL"] = "sentiment"
    found = {"processes": parse()}
    os.environ |= {"COALMINE_IMAGE": "registry.example/coalmine-steps@sha256:0", "COALMINE_GPUS": "1"}
    found["pods"] = parse()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
