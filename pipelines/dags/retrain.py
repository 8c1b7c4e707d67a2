"""One DAG for each model that has a `bentos/<model>/retraining.yaml`: `retrain_<model>`.

On one machine only that of the model that the machine serves (`COALMINE_MODEL`).
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, Param, chain

from coalmine.pipeline.command import BEGIN, STEPS
from coalmine.pipeline.operators import Due, Step

PAGE = """Retrains the model `{model}` when a run is due, and releases what is better than the champion.

**What starts it:** enough new labels, drift or the policy's own schedule (asked each half minute through the asset
`due`), each night by the clock, or **Trigger** above. Whether a run is due at all is decided by the first task, from
`bentos/{model}/retraining.yaml`: where it is not, the rest is skipped, and that is no failure.

**What comes of it:** a candidate that is no better than the champion ends the run at `evaluate`, with by how much.
A better one is one commit; the canary then decides. A task's Details lead to MLflow, those of `release` to its report.

**When a task fails:** what may pass by itself is tried three times; anything else fails at once, with its remedy as
the log's last line. Clear the task to go on with the same run: steps that are done answer with what they made.
"""
PODS = os.environ.get("COALMINE_IMAGE", "")  # the image of the steps; empty: processes on this machine
GPUS = os.environ.get("COALMINE_GPUS", "")  # for the step `train`
SERVED = "" if PODS else os.environ.get("COALMINE_MODEL", "")
MODELS = sorted(file.parent.name for file in Path(__file__).parents[2].glob("bentos/*/retraining.yaml"))


def task(step: str, model: str) -> Step:
    """One step. What Kubernetes needs is imported where it is used only: that takes seconds."""
    if not PODS:
        return Step(step=step, model=model)
    from coalmine.pipeline.pods import pod  # noqa: PLC0415 (as said)

    return pod(step, model, image=PODS, gpus=GPUS)


def retrain(model: str) -> DAG:
    """The steps one after the other, woken by the model's asset and by the clock."""
    watchers = [] if PODS else [AssetWatcher(name="due", trigger=Due(model))]
    with DAG(
        f"retrain_{model}",
        doc_md=PAGE.format(model=model),
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable("*/15 * * * *" if PODS else "7 3 * * *", timezone="UTC"),
            assets=[Asset(name=f"{model}_due", uri=f"coalmine://{model}/due", watchers=watchers)],
        ),
        catchup=False,
        max_active_runs=1,
        default_args={"retries": 3, "retry_delay": timedelta(seconds=20), "execution_timeout": timedelta(hours=1)},
        params={
            "mode": Param("", enum=["", "full", "incremental"], description="empty: as the policy says"),
            "override": Param("", type=["null", "string"], description="a reason to go past a failed gate; recorded"),
            "release": Param(True, type="boolean", description="off: end when it is packaged"),
        },
        tags=["coalmine", model],
    ) as made:
        chain(*[task(name, model) for name in (BEGIN, *STEPS)])
    return made


for found in MODELS:
    if SERVED in ("", found):
        globals()[f"retrain_{found}"] = retrain(found)
