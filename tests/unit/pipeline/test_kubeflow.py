"""Kubeflow Pipelines: what is committed is fresh, and the same commands run for real under KFP's local runner."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine.pipeline.command import BEGIN, STEPS, chained
from coalmine.pipeline.plan import runs_of
from coalmine.settings import Settings

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "pipelines" / "kubeflow"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    pipeline, platform = yaml.safe_load_all((FOLDER / "retrain.yaml").read_text(encoding="utf-8"))
    return {"pipeline": pipeline, "platform": platform}


def test_what_is_committed_is_what_the_program_compiles(tmp_path: Path) -> None:
    """Else: `python pipelines/kubeflow/pipeline.py`."""
    code = "import runpy, sys, pathlib; runpy.run_path(sys.argv[1])['main'](pathlib.Path(sys.argv[2]))"
    again = tmp_path / "again.yaml"
    line = [sys.executable, "-W", "ignore", "-c", code, str(FOLDER / "pipeline.py"), str(again)]
    subprocess.run(line, check=True, capture_output=True, timeout=500)
    assert (FOLDER / "retrain.yaml").read_text(encoding="utf-8") == again.read_text(encoding="utf-8")


def test_each_component_is_the_steps_own_command_on_the_one_claim(committed: dict[str, Any]) -> None:
    """In their order, uncached, tried again, on the volume that all of them share."""
    spec = committed["pipeline"]
    tasks = spec["root"]["dag"]["tasks"]
    order = [BEGIN, *STEPS]
    assert {name: task.get("dependentTasks", []) for name, task in tasks.items()} == {
        name: [before] if before else [] for name, before in zip(order, ["", *order[:-1]], strict=True)
    }
    claims = committed["platform"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for name in order:
        container = spec["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        after, outcome = "{{$.inputs.parameters['after']}}", "{{$.outputs.parameters['outcome'].output_file}}"
        assert container["args"] == chained(name, "{{$.inputs.parameters['run']}}", after, outcome)
        assert claims[f"exec-{name}"]["pvcMount"][0]["constant"] == "coalmine"
        assert tasks[name]["retryPolicy"]["maxRetryCount"] == 3
        assert not tasks[name].get("cachingOptions")


LOCALLY = '''
import runpy, sys
from kfp import dsl, local


@dsl.component(install_kfp_package=False)
def locally(line: list, run: str, after: str, outcome: dsl.OutputPath(str)):
    """The container's command, in a process of this machine."""
    import subprocess
    said = {"<run>": run, "<after>": after, "<outcome>": outcome}
    subprocess.run([said.get(word, word) for word in line], check=True)


file, project, state, because = sys.argv[1:]
module = runpy.run_path(file)
before = [sys.executable, "-m", "coalmine.cli", "--project", project, "--state", state]


def component(step):
    line = [*before, *module["chained"](step, "<run>", "<after>", "<outcome>")]
    return lambda run, after: locally(line=line, run=run, after=after)


local.init(local.SubprocessRunner(use_venv=False), raise_on_error=True, pipeline_root=state + "/kfp")
module["pipeline"](component, lambda task, step: task)(because=because)
'''


def test_the_pipeline_runs_for_real_under_the_local_runner(
    make_project: Callable[[Path], Settings], with_remote: Callable[[Settings], str], tmp_path: Path
) -> None:
    """From a run that is due to the commit that names its release; and where none is due, to the end without one."""
    here = make_project(tmp_path / "project")
    main = with_remote(here)
    assert "released" in _run(here, because="hand")
    (run,) = runs_of(here).latest()
    assert (run.reason, run.outcome) == ("hand", "released")
    assert run.detail.startswith("m1-")
    assert _main(here) != main
    assert "end:" in _run(here, because="due")
    assert [one.id for one in runs_of(here).latest()] == [run.id]


def _run(here: Settings, *, because: str) -> str:
    script = here.state / "locally.py"  # KFP reads a component's source from its file
    script.write_text(LOCALLY, encoding="utf-8")
    line = [sys.executable, "-W", "ignore", str(script), str(FOLDER / "pipeline.py"), str(here.project)]
    done = subprocess.run(
        [*line, str(here.state), because], capture_output=True, text=True, timeout=590, check=False, cwd=here.project
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = [
        json.dumps(vars(run), default=str) if hasattr(run, "__dict__") else str(run) for run in runs_of(here).latest()
    ]
    return done.stdout + done.stderr + " ".join(told)


def _main(here: Settings) -> str:
    line = ["git", "-C", str(here.project), "rev-parse", "coalmine/main"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
