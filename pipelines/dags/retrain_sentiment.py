"""Retrains the model `sentiment` when a run is due, and releases what is better than the champion.

**What starts it:** enough new labels, drift or the policy's own schedule (asked each half minute through the asset
`due`), each night by the clock, or **Trigger** above. Whether a run is due at all is decided by the first task, from
`bentos/sentiment/retraining.yaml`: where none is, the rest is skipped, and that is no failure.

**What comes of it:** a candidate that is no better than the champion ends the run at `evaluate`, with by how much.
A better one is one commit; the canary then decides. The buttons on each task lead to MLflow and to the release report.

**When a task fails:** what may pass by itself is tried three times; anything else fails at once, with its remedy as
the log's last line. Clear the task to go on with the same run: steps that are done answer with what they made.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, Param, chain
from kubernetes.client import models as k8s

from coalmine.pipeline.command import BEGIN, STEPS
from coalmine.pipeline.operators import Due, Step, StepPod

MODEL = "sentiment"
PODS = os.environ.get("COALMINE_IMAGE", "")  # the image of the steps; empty: processes on this machine
GPUS = os.environ.get("COALMINE_GPUS", "")  # for the step `train`
WATCHERS = [] if PODS else [AssetWatcher(name="due", trigger=Due(seconds=30))]


def pod(step: str) -> StepPod:
    """All pods of a run work on one volume, which holds the clone and the state folder."""
    claim = k8s.V1PersistentVolumeClaimVolumeSource(claim_name="coalmine")
    wanted = {"cpu": "1", "memory": "4Gi"}
    gpu = {"nvidia.com/gpu": GPUS} if GPUS and step == "train" else {}
    return StepPod(
        step=step,
        image=PODS,
        volumes=[k8s.V1Volume(name="work", persistent_volume_claim=claim)],
        volume_mounts=[k8s.V1VolumeMount(name="work", mount_path="/work")],
        env_vars={"COALMINE_STATE": "/work/state", "COALMINE_CACHE": "/work/cache"},
        container_resources=k8s.V1ResourceRequirements(requests=wanted, limits={"memory": "4Gi"} | gpu),
        security_context={"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001},
        on_finish_action="delete_succeeded_pod",
    )


with DAG(
    f"retrain_{MODEL}",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(
        timetable=CronTriggerTimetable("*/15 * * * *" if PODS else "7 3 * * *", timezone="UTC"),
        assets=[Asset(f"coalmine://{MODEL}/due", name=f"{MODEL}_due", watchers=WATCHERS)],
    ),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=20), "execution_timeout": timedelta(hours=1)},
    params={
        "mode": Param("", enum=["", "full", "incremental"], description="empty: as the policy says"),
        "override": Param("", type="string", description="a reason to go past a failed gate; it is recorded"),
        "release": Param(True, type="boolean", description="off: end when it is packaged"),
    },
    tags=["coalmine", MODEL],
):
    chain(*[(pod(name) if PODS else Step(step=name)) for name in (BEGIN, *STEPS)])
