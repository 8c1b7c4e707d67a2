"""What Airflow is given on one machine; tests/e2e/test_airflow.py starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coalmine.errors import BadInput
from coalmine.local import airflow, airflow_install
from coalmine.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(project=tmp_path, state=tmp_path / "state", model="toy")


def test_it_needs_a_repository_to_read_from(settings: Settings) -> None:
    """Said before anything is installed."""
    with pytest.raises(BadInput, match="no repository yet"):
        airflow.foreground(settings, port=1, tell=print)


def test_it_sees_nothing_of_our_environment_but_what_it_needs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that somebody has exported is none of a task's business; no secret of its own is there either."""
    monkeypatch.setenv("FORGE_TOKEN", "s3cret")
    seen = airflow.surroundings(settings, port=8463)
    assert "s3cret" not in seen.values()
    assert seen["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert seen["AIRFLOW__API_AUTH__JWT_SECRET_CMD"] == f"cat {settings.state}/airflow/jwt.key"


def test_its_parts_start_no_log_servers_which_listen_on_all_addresses(settings: Settings) -> None:
    for part in airflow.parts(settings, Path("python"), port=8463):
        assert ("--skip-serve-logs" in part.command) == (part.name in {"airflow-scheduler", "airflow-triggers"})


def test_each_lock_has_an_environment_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that none is changed under an Airflow that runs; packages come with their hashes."""
    monkeypatch.setenv("COALMINE_CACHE", str(tmp_path))
    assert airflow_install.folder().parent == tmp_path / "airflow"
    assert airflow_install.lock().read_text(encoding="utf-8").count("--hash=sha256:") > 100


def test_its_import_path_holds_our_package_alone(tmp_path: Path) -> None:
    """Nothing else of our environment may stand before Airflow's own packages."""
    airflow_install.link(tmp_path)
    place = airflow_install.link(tmp_path)
    assert [one.name for one in place.iterdir()] == ["coalmine"]
    assert (place / "coalmine" / "pipeline" / "operators.py").is_file()
