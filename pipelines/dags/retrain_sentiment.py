"""Retrains the model `sentiment` when a run is due, and releases what is better than the champion.

**What starts it:** enough new labels, drift or the policy's own schedule (asked each half minute through the asset
`due`), each night by the clock, or **Trigger** above. Whether a run is due at all is decided by the first task, from
`bentos/sentiment/retraining.yaml`: where none is, the rest is skipped, and that is no failure.

**What comes of it:** a candidate that is no better than the champion ends the run at `evaluate`, with by how much.
A better one is one commit; the canary then decides. A task's Details lead to MLflow, those of `release` to its report.

**When a task fails:** what may pass by itself is tried three times; anything else fails at once, with its remedy as
the log's last line. Clear the task to go on with the same run: steps that are done answer with what they made.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, Param, chain

from coalmine.pipeline.command import BEGIN, STEPS
from coalmine.pipeline.operators import Due, Step

MODEL = "sentiment"
PODS = os.environ.get("COALMINE_IMAGE", "")  # the image of the steps; empty: processes on this machine
GPUS = os.environ.get("COALMINE_GPUS", "")  # for the step `train`
WATCHERS = [] if PODS else [AssetWatcher(name="due", trigger=Due(seconds=30))]


def task(step: str) -> Step:
    """One step. What Kubernetes needs is imported where it is used only: that takes seconds."""
    if not PODS:
        return Step(step=step)
    from coalmine.pipeline.pods import pod  # noqa: PLC0415 (as said)

    return pod(step, image=PODS, gpus=GPUS)


with DAG(
    f"retrain_{MODEL}",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("*/15 * * * *" if PODS else "7 3 * * *", timezone="UTC"),
        assets=[Asset(name=f"{MODEL}_due", uri=f"coalmine://{MODEL}/due", watchers=WATCHERS)],
    ),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=20), "execution_timeout": timedelta(hours=1)},
    params={
        "mode": Param("", enum=["", "full", "incremental"], description="empty: as the policy says"),
        "override": Param("", type=["null", "string"], description="a reason to go past a failed gate; it is recorded"),
        "release": Param(True, type="boolean", description="off: end when it is packaged"),
    },
    tags=["coalmine", MODEL],
):
    chain(*[task(name) for name in (BEGIN, *STEPS)])
