"""The steps for Argo Workflows: `python pipelines/workflows/make.py` writes template.yaml and cron.yaml beside this.

Made with the SDK that the Python package `argo-workflows` is. Upstream has since named Hera its successor; what is
written here is plain WorkflowTemplate and CronWorkflow, and stays when the SDK goes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from argo_workflows.api.cron_workflow_service_api import CronWorkflowServiceApi
from argo_workflows.api.workflow_service_api import WorkflowServiceApi
from argo_workflows.api.workflow_template_service_api import WorkflowTemplateServiceApi
from argo_workflows.api_client import ApiClient
from argo_workflows.configuration import Configuration
from argo_workflows.models import (
    Capabilities,
    Container,
    EmptyDirVolumeSource,
    EnvVar,
    IoArgoprojWorkflowV1alpha1Arguments,
    IoArgoprojWorkflowV1alpha1Backoff,
    IoArgoprojWorkflowV1alpha1CreateCronWorkflowRequest,
    IoArgoprojWorkflowV1alpha1CronWorkflow,
    IoArgoprojWorkflowV1alpha1CronWorkflowSpec,
    IoArgoprojWorkflowV1alpha1DAGTask,
    IoArgoprojWorkflowV1alpha1DAGTemplate,
    IoArgoprojWorkflowV1alpha1Inputs,
    IoArgoprojWorkflowV1alpha1Mutex,
    IoArgoprojWorkflowV1alpha1Outputs,
    IoArgoprojWorkflowV1alpha1Parameter,
    IoArgoprojWorkflowV1alpha1RetryStrategy,
    IoArgoprojWorkflowV1alpha1SubmitOpts,
    IoArgoprojWorkflowV1alpha1Synchronization,
    IoArgoprojWorkflowV1alpha1Template,
    IoArgoprojWorkflowV1alpha1ValueFrom,
    IoArgoprojWorkflowV1alpha1WorkflowSpec,
    IoArgoprojWorkflowV1alpha1WorkflowSubmitRequest,
    IoArgoprojWorkflowV1alpha1WorkflowTemplate,
    IoArgoprojWorkflowV1alpha1WorkflowTemplateCreateRequest,
    IoArgoprojWorkflowV1alpha1WorkflowTemplateRef,
    ObjectMeta,
    PersistentVolumeClaimVolumeSource,
    PodSecurityContext,
    ResourceRequirements,
    SecurityContext,
    Volume,
    VolumeMount,
)

from coalmine.pipeline.command import BEGIN, STEPS, chained, places

MODEL = "sentiment"
NAME = f"retrain-{MODEL}"
IMAGE = "registry.example.com/steps:main"  # yours, by digest: `coalmine image build steps`
GPUS = 0  # of NVIDIA, for the step `train`
SAID = "/tmp/outcome"  # noqa: S108 (in the container: an emptyDir of the pod's own)
HERE = Path(__file__).parent
# Exit codes that may pass by themselves, and pods that were taken away; anything else would fail again.
AGAIN = "lastRetry.status == 'Error' or asInt(lastRetry.exitCode) in [75, 137, 143]"

Parameter = IoArgoprojWorkflowV1alpha1Parameter


def step(name: str) -> IoArgoprojWorkflowV1alpha1Template:
    """One container, with least rights."""
    limits = {"memory": "4Gi"} | ({"nvidia.com/gpu": str(GPUS)} if GPUS and name == "train" else {})
    return IoArgoprojWorkflowV1alpha1Template(
        name=name,
        inputs=IoArgoprojWorkflowV1alpha1Inputs(parameters=[Parameter(name="after")]),
        outputs=IoArgoprojWorkflowV1alpha1Outputs(
            parameters=[Parameter(name="outcome", value_from=IoArgoprojWorkflowV1alpha1ValueFrom(path=SAID))]
        ),
        container=Container(
            image=IMAGE,
            command=["coalmine"],
            args=chained(name, "{{workflow.name}}", "{{inputs.parameters.after}}", SAID),
            env=[EnvVar(name=name, value=value) for name, value in places(MODEL).items()],
            working_dir="/coalmine/project",
            resources=ResourceRequirements(requests={"cpu": "1", "memory": "2Gi"}, limits=limits),
            security_context=SecurityContext(allow_privilege_escalation=False, capabilities=Capabilities(drop=["ALL"])),
            volume_mounts=[
                VolumeMount(name="work", mount_path="/coalmine"),
                VolumeMount(name="said", mount_path="/tmp"),  # noqa: S108 (as above)
            ],
        ),
        retry_strategy=IoArgoprojWorkflowV1alpha1RetryStrategy(
            limit="3",
            expression=AGAIN,
            backoff=IoArgoprojWorkflowV1alpha1Backoff(duration="20s", factor="2"),
        ),
    )


def chain() -> IoArgoprojWorkflowV1alpha1Template:
    """All steps, one after the other; each hears of the one before whether anything is left to do."""
    tasks, before = [], ""
    for name in (BEGIN, *STEPS):
        said = f"{{{{tasks.{before}.outputs.parameters.outcome}}}}" if before else "{{workflow.parameters.because}}"
        given = IoArgoprojWorkflowV1alpha1Arguments(parameters=[Parameter(name="after", value=said)])
        more = {"dependencies": [before]} if before else {}
        tasks.append(IoArgoprojWorkflowV1alpha1DAGTask(name=name, template=name, arguments=given, **more))
        before = name
    return IoArgoprojWorkflowV1alpha1Template(name="retrain", dag=IoArgoprojWorkflowV1alpha1DAGTemplate(tasks=tasks))


def template() -> IoArgoprojWorkflowV1alpha1WorkflowTemplate:
    """What a workflow of it does: `argo submit --from workflowtemplate/retrain-sentiment -p because=hand`."""
    claim = PersistentVolumeClaimVolumeSource(claim_name="coalmine")
    return IoArgoprojWorkflowV1alpha1WorkflowTemplate(
        api_version="argoproj.io/v1alpha1",
        kind="WorkflowTemplate",
        metadata=ObjectMeta(name=NAME),
        spec=IoArgoprojWorkflowV1alpha1WorkflowSpec(
            entrypoint="retrain",
            arguments=IoArgoprojWorkflowV1alpha1Arguments(parameters=[Parameter(name="because", value="due")]),
            synchronization=IoArgoprojWorkflowV1alpha1Synchronization(
                mutexes=[IoArgoprojWorkflowV1alpha1Mutex(name=NAME)]
            ),
            security_context=PodSecurityContext(run_as_non_root=True, run_as_user=10001, fs_group=10001),
            volumes=[
                Volume(name="work", persistent_volume_claim=claim),
                Volume(name="said", empty_dir=EmptyDirVolumeSource()),
            ],
            templates=[chain(), *(step(name) for name in (BEGIN, *STEPS))],
        ),
    )


def cron() -> IoArgoprojWorkflowV1alpha1CronWorkflow:
    """Asks each quarter of an hour whether a run is due; the first step's answer is nearly always no."""
    return IoArgoprojWorkflowV1alpha1CronWorkflow(
        api_version="argoproj.io/v1alpha1",
        kind="CronWorkflow",
        metadata=ObjectMeta(name=NAME),
        spec=IoArgoprojWorkflowV1alpha1CronWorkflowSpec(
            schedules=["*/15 * * * *"],
            timezone="UTC",
            concurrency_policy="Forbid",
            starting_deadline_seconds=300,
            successful_jobs_history_limit=3,
            failed_jobs_history_limit=10,
            workflow_spec=IoArgoprojWorkflowV1alpha1WorkflowSpec(
                workflow_template_ref=IoArgoprojWorkflowV1alpha1WorkflowTemplateRef(name=NAME)
            ),
        ),
    )


def text(made: Any) -> str:
    """As it stands in git."""
    plain = ApiClient.sanitize_for_serialization(made)
    return f"# Written by make.py beside this.\n{yaml.safe_dump(plain, sort_keys=False, width=120)}"


def submit(host: str, *, namespace: str, token: str = "") -> None:
    """Make both at an Argo server, and begin a run by hand."""
    given = Configuration(host=host)
    with ApiClient(given, *(("Authorization", f"Bearer {token}") if token else ())) as client:
        WorkflowTemplateServiceApi(client).create_workflow_template(
            namespace,
            IoArgoprojWorkflowV1alpha1WorkflowTemplateCreateRequest(template=template()),
            _check_return_type=False,
        )
        CronWorkflowServiceApi(client).create_cron_workflow(
            namespace,
            IoArgoprojWorkflowV1alpha1CreateCronWorkflowRequest(cron_workflow=cron()),
            _check_return_type=False,
        )
        by_hand = IoArgoprojWorkflowV1alpha1SubmitOpts(parameters=["because=hand"])
        WorkflowServiceApi(client).submit_workflow(
            namespace,
            IoArgoprojWorkflowV1alpha1WorkflowSubmitRequest(
                resource_kind="WorkflowTemplate", resource_name=NAME, submit_options=by_hand
            ),
            _check_return_type=False,
        )


def main() -> None:
    """Write both."""
    (HERE / "template.yaml").write_text(text(template()), encoding="utf-8")
    (HERE / "cron.yaml").write_text(text(cron()), encoding="utf-8")


if __name__ == "__main__":
    main()
