"""Airflow's operator for a step in a pod. Apart from `operators`: Kubernetes' client takes seconds to import."""

from __future__ import annotations

from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from kubernetes.client import models as k8s

from coalmine.pipeline.command import BEGIN, Meaning, command, meaning, places, wishes


class StepPod(KubernetesPodOperator):  # type: ignore[misc]  # as above
    """One step in a pod. As `Step` it is tried again only where that may help."""

    def __init__(self, *, step: str, **options: Any) -> None:
        super().__init__(
            task_id=step,
            name=f"coalmine-{step}",
            cmds=["coalmine"],
            arguments=templates(step),
            do_xcom_push=False,
            skip_on_exit_code=99,
            **options,
        )

    def cleanup(self, pod: Any, remote_pod: Any) -> None:
        """What Airflow does, but a failure for good is told as one."""
        try:
            super().cleanup(pod, remote_pod)
        except AirflowSkipException:
            raise
        except AirflowException as error:
            code = exit_code(remote_pod, self.base_container_name)
            if code is not None and meaning(code) is Meaning.FAIL:
                raise AirflowFailException(f"exit code {code}: {error}") from error
            raise


def templates(step: str) -> list[str]:
    """The step's words with Airflow's templates where `Step` would look at the run."""
    if step != BEGIN:
        return command(step, "{{ run_id }}")
    hand = "{{ 'hand' if dag_run.run_type == 'manual' else 'due' }}"
    mode, override = (f"{{{{ params.{name} or '' }}}}" for name in ("mode", "override"))
    release = "{{ params.release }}"
    return command(step, "{{ run_id }}", *wishes(because=hand, mode=mode, override=override, release=release))


def exit_code(pod: Any, container: str) -> int | None:
    """Of a container that has ended; None where it has not, or never began."""
    statuses = (pod.status.container_statuses if pod and pod.status else None) or []
    ended = [one.state.terminated for one in statuses if one.name == container and one.state]
    return int(ended[0].exit_code) if ended and ended[0] else None


def pod(step: str, model: str, *, image: str, gpus: str = "", claim: str = "coalmine") -> StepPod:
    """The step's pod, with least rights. All pods of a run work on one claim: the clone, states, a cache."""
    volume = k8s.V1PersistentVolumeClaimVolumeSource(claim_name=claim)
    gpu = {"nvidia.com/gpu": gpus} if gpus and step == "train" else {}
    return StepPod(
        step=step,
        image=image,
        volumes=[k8s.V1Volume(name="work", persistent_volume_claim=volume)],
        volume_mounts=[k8s.V1VolumeMount(name="work", mount_path="/coalmine")],
        env_vars=places(model),
        container_resources=k8s.V1ResourceRequirements(
            requests={"cpu": "1", "memory": "2Gi"}, limits={"memory": "4Gi"} | gpu
        ),
        security_context={"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001},
        on_finish_action="delete_succeeded_pod",
    )
