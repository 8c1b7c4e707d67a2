"""From a dataset to a built Bento through the real MLflow and the real BentoML, on a tiny model."""

from __future__ import annotations

import dataclasses
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from coalmine.errors import BadInput, Broken, Refused, Temporary
from coalmine.records import Candidate, Evaluation, ModelVersion
from coalmine.release import manifest
from coalmine.settings import Settings
from coalmine.steps.collect import collect
from coalmine.steps.evaluate import evaluate
from coalmine.steps.package import digest, package
from coalmine.steps.register import find_version, register
from coalmine.steps.tracking import connect
from coalmine.steps.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(make_project: Callable[[Path], Settings], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_project(tmp_path_factory.mktemp("steps") / "project")


@pytest.fixture(scope="module")
def good(built: Settings) -> Candidate:
    return train(built, collect(built, domains=["shop", "film"]), seed=3)


@pytest.fixture(scope="module")
def bad(built: Settings) -> Candidate:
    return train(built, collect(built), seed=3, options={"turned": True})


@pytest.fixture(scope="module")
def version(built: Settings, good: Candidate) -> ModelVersion:
    return register(built, evaluate(built, good))


def coefficients(settings: Settings, candidate: Candidate) -> Any:
    return connect(settings).sklearn.load_model(candidate.model_uri)[-1].coef_


def test_the_same_dataset_and_seed_give_the_same_coefficients(built: Settings, good: Candidate) -> None:
    again = train(built, collect(built, domains=["film", "shop"]), seed=3)
    assert again.run_id != good.run_id
    assert dataclasses.replace(again, run_id=good.run_id, model_uri=good.model_uri) == good
    np.testing.assert_array_equal(coefficients(built, again), coefficients(built, good))


def test_the_run_holds_parameters_lineage_and_each_slices_measure(
    built: Settings, good: Candidate, version: ModelVersion
) -> None:
    assert version.run_id == good.run_id
    run = connect(built).MlflowClient().get_run(good.run_id)
    assert run.data.params["seed"] == "3"
    assert run.data.tags["coalmine.dataset_digest"] == good.dataset_digest
    assert run.data.tags["coalmine.gate"] == "passed"
    assert run.data.metrics["shop.accuracy"] == run.data.metrics["film.accuracy"] == 1.0
    assert built.state / "mlflow" / "artifacts" in Path(run.info.artifact_uri.removeprefix("file://")).parents


def test_a_failed_gate_blocks_and_says_by_how_much(built: Settings, bad: Candidate) -> None:
    with pytest.raises(
        Refused, match=r"shop accuracy is 0\.000, 0\.900 below 0\.900; shop recall_no is 0\.000, 0\.800"
    ):
        evaluate(built, bad)
    client = connect(built).MlflowClient()
    assert client.get_run(bad.run_id).data.tags["coalmine.gate"] == "failed"
    table = json.loads(Path(client.download_artifacts(bad.run_id, "gate.json")).read_text())
    assert table["checks"][0]["margin"] == pytest.approx(-0.9)


def test_blank_is_no_reason_to_override(built: Settings, bad: Candidate) -> None:
    with pytest.raises(Refused):
        evaluate(built, bad, override="  ")


def test_an_override_is_recorded_with_the_version(built: Settings, bad: Candidate) -> None:
    evaluation = evaluate(built, bad, override="a drill")
    made = register(built, evaluation)
    assert not evaluation.passed
    assert made.override == "a drill"
    assert find_version(built, made.version) == made


def test_a_failed_evaluation_is_not_registered(built: Settings, bad: Candidate) -> None:
    with pytest.raises(Refused, match="the offline gate failed"):
        register(built, dataclasses.replace(evaluate(built, bad, override="x"), override=""))


def test_a_candidate_is_compared_with_the_champion(built: Settings, version: ModelVersion, bad: Candidate) -> None:
    client = connect(built).MlflowClient()
    client.set_registered_model_alias("toy", "champion", str(version.version))
    try:
        with pytest.raises(Refused, match=r"film accuracy against the champion is 0\.000, 0\.980 below 0\.980"):
            evaluate(built, bad)
    finally:
        client.delete_registered_model_alias("toy", "champion")


def test_registering_twice_is_once_and_leaves_the_champion_alone(
    built: Settings, good: Candidate, version: ModelVersion
) -> None:
    assert register(built, Evaluation(good, None, ())) == version
    assert find_version(built, "candidate") == version
    with pytest.raises(BadInput, match="no version or alias 'champion'"):
        find_version(built, "champion")


def test_gates_on_unknown_slices_or_measures_are_refused(settings: Settings, good: Candidate) -> None:
    path = settings.project / "bentos" / "toy" / "gates.yaml"
    for old, new, said in [("shop: {", "shops: {", "slice 'shops'"), ("recall_no", "recall_never", "recall_never")]:
        text = path.read_text()
        path.write_text(text.replace(old, new))
        with pytest.raises(BadInput, match=said):
            evaluate(settings, good)
        path.write_text(text)


def test_a_bento_carries_its_model_and_its_lineage(built: Settings, version: ModelVersion) -> None:
    release = package(built, version)
    folder = Path(release.bento_path)
    labels = yaml.safe_load((folder / "bento.yaml").read_text())["labels"]
    assert str(release.id) == f"m{version.version}-{release.git_sha[:7]}"
    assert (labels["run"], labels["dataset"], labels["git_sha"]) == (
        version.run_id,
        version.dataset_digest,
        release.git_sha,
    )
    read = manifest.read(folder / "src" / "model")
    assert (read.release, read.version) == (release.id, version.version)
    manifest.check_environment(read, manifest.installed())
    assert (folder / "src" / "model" / "pipeline.joblib").is_file()
    assert digest(folder) == release.bento_digest
    assert package(built, "candidate") == release


def test_a_dirty_tree_is_not_packaged(settings: Settings, version: ModelVersion) -> None:
    (settings.project / "bentos" / "toy" / "new.py").write_text("")
    with pytest.raises(Refused, match=r"differs from its commit: bentos/toy/new\.py(?s:.*)commit the changes"):
        package(settings, version)
    (settings.project / "bentos" / "toy" / "new.py").unlink()
    (settings.project / "bentos" / "toy" / "service.py").write_text("")
    with pytest.raises(Refused, match=r"service\.py"):
        package(settings, version)


def test_another_commit_makes_another_release_of_the_same_version(
    built: Settings, version: ModelVersion, commit: Callable[[Path, str], str]
) -> None:
    first = package(built, version)
    (built.project / "notes.txt").write_text("x")
    sha = commit(built.project, "notes")
    second = package(built, version)
    assert (second.id.version, second.git_sha) == (first.id.version, sha)
    assert second.bento_path != first.bento_path


def test_an_unknown_version_is_named(built: Settings, version: ModelVersion) -> None:
    with pytest.raises(BadInput, match=f"no version or alias {version.version + 50}"):
        package(built, version.version + 50)


def test_a_store_that_does_not_answer_is_temporary(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as taken:  # bound but not listening: refuses at once
        taken.bind(("127.0.0.1", 0))
        elsewhere = settings.model_copy(update={"mlflow_uri": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        dataset = collect(elsewhere)
        with pytest.raises(Temporary, match="MLflow failed"):
            train(elsewhere, dataset)


def test_a_service_that_cannot_be_built_says_why(
    built: Settings, version: ModelVersion, commit: Callable[[Path, str], str]
) -> None:
    path = built.project / "bentos" / "toy" / "service.py"
    text = path.read_text()
    path.write_text("import nothing_of_that_name")
    commit(built.project, "break")
    with pytest.raises(Broken, match=r"service\.py: BentoML could not build it: .*nothing_of_that_name"):
        package(built, version)
    path.write_text(text)
    commit(built.project, "mend")


def test_a_pipeline_that_needs_the_models_own_code_is_refused(
    settings: Settings, commit: Callable[[Path, str], str]
) -> None:
    """The service unpickles it where the model's folder has another name, or none."""
    path = settings.project / "bentos" / "toy" / "workload.py"
    text = path.read_text().replace("vocabulary=words)", "vocabulary=words, preprocessor=lower)")
    assert "preprocessor=lower" in text
    path.write_text(text + "\n\ndef lower(text):\n    return text.lower()\n")
    commit(settings.project, "own function")
    made = register(settings, evaluate(settings, train(settings, collect(settings, domains=["shop", "film"]))))
    with pytest.raises(Refused, match="needs functions or classes of the model's folder"):
        package(settings, made)
