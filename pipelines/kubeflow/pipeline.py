"""The steps as a Kubeflow pipeline: `python pipelines/kubeflow/pipeline.py` compiles it into retrain.yaml beside this.

Each step is a container component with the same command as under any scheduler. What they make lies on the claim
`coalmine`; all that passes between components is `go`, or `end` where there is nothing left to do, which is no failure.
Caching is off: a step that is done says so itself.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from coalmine.pipeline.command import BEGIN, STEPS, chained, places

MODEL = "sentiment"
IMAGE = "registry.example.com/steps:main"  # yours, by digest: `coalmine image build steps`
GPUS = 0  # of NVIDIA, for the step `train`
VOLUME = {
    "constant": "coalmine",
    "mountPath": "/coalmine",
    "pvcNameParameter": {"runtimeValue": {"constant": "coalmine"}},
}

Component = Callable[..., Any]


def container(step: str) -> Component:
    """The component of one step."""

    def component(run: str, after: str, outcome: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]  # KFP's way
        return dsl.ContainerSpec(image=IMAGE, command=["coalmine"], args=chained(step, run, after, outcome))

    component.__name__ = step
    made: Component = dsl.container_component(component)
    return made


def placed(task: Any, step: str) -> Any:
    """Where it runs: limits, the claim, and the GPU where it is used."""
    task.set_cpu_request("1").set_memory_request("2Gi").set_memory_limit("4Gi")
    task.set_retry(num_retries=3, backoff_duration="20s", backoff_factor=2.0)
    task.set_caching_options(enable_caching=False)
    for name, value in places(MODEL).items():
        task.set_env_variable(name, value)
    if GPUS and step == "train":
        task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(GPUS)
    task.platform_config["kubernetes"] = {"pvcMount": [VOLUME]}
    return task


def pipeline(component: Callable[[str], Component] = container, place: Callable[[Any, str], Any] = placed) -> Any:
    """All steps, one after the other. The run's id is the job's name; `because` is `due`, or `hand`."""

    @dsl.pipeline(name=f"retrain-{MODEL}", description=", ".join(STEPS))  # type: ignore[untyped-decorator]  # no types
    def retrain(because: str = "due") -> None:
        said: Any = because
        for step in (BEGIN, *STEPS):
            task = place(component(step)(run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, after=said), step)
            said = task.outputs["outcome"]

    return retrain


def main(path: Path) -> None:
    """Compile it."""
    compiler.Compiler().compile(pipeline(), str(path))


if __name__ == "__main__":
    main(Path(__file__).with_name("retrain.yaml"))
