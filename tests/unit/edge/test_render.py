"""The configuration as text, and what may not get into it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from coalmine.edge import certificates, process
from coalmine.edge.config import EdgeConfig, Fixed, from_settings
from coalmine.edge.render import render
from coalmine.errors import BadInput, Missing
from coalmine.settings import Settings


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    settings = Settings(project=tmp_path, state=tmp_path / "state")
    return from_settings(settings, prediction_paths=("/predict", "/v2/predict"), user=process.worker_user())


def test_the_same_config_gives_the_same_text(config: EdgeConfig) -> None:
    assert render(config) == render(replace(config))
    assert "location = /v2/predict {" in render(config)


@pytest.mark.parametrize(
    "change",
    [
        {"state": Path("/tmp/a b")},
        {"logs": Path('/tmp/a"b')},
        {"split": Path("/tmp/$host")},
        {"certificates": Path("relative")},
        {"access_log": Path("/tmp/x;y")},
        {"prediction_paths": ()},
        {"prediction_paths": ("predict",)},
        {"prediction_paths": ("/a b",)},
        {"prediction_paths": ("/metrics",)},
        {"prediction_paths": ("/feedback",)},
        {"server_names": ()},
        {"server_names": ("a;b",)},
        {"listen": "example.org"},
        {"sticky_header": "X User"},
        {"sticky_cookie": "my-id"},
        {"body_limit": "64kb"},
        {"blue": "127.0.0.1"},
        {"user_salt": 'a"b'},
        {"user": "a;b"},
        {"trusted_proxies": ("any",)},
        {"fixed": Fixed("canary", 'm1"')},
    ],
    ids=",".join,
)
def test_a_value_that_nginx_would_read_as_syntax_is_refused_by_name(
    config: EdgeConfig, change: dict[str, object]
) -> None:
    with pytest.raises(BadInput) as caught:
        replace(config, **change)  # type: ignore[arg-type]  # the wrong values are the test
    assert caught.value.where == f"edge.{next(iter(change))}"
    assert caught.value.remedy


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"workers": None, "hsts_seconds": 31536000, "trusted_proxies": ("10.0.0.0/8", "::1")},
        {"sticky_header": "X-User-Id"},
        {"sticky_cookie": "uid"},
        {"sticky_header": "X-User-Id", "sticky_cookie": "uid", "user_salt": "abc"},
        {"fixed": Fixed("canary", "m2-abc1234"), "listen": "0.0.0.0"},
        {"body_limit": "8m", "unbuffered_log": False},
    ],
    ids=lambda change: ",".join(change) or "plain",
)
def test_nginx_accepts_every_shape_of_it(config: EdgeConfig, change: dict[str, object]) -> None:
    config = replace(config, **change)  # type: ignore[arg-type]  # a table of fields
    certificates.ensure(config.certificates, config.server_names)
    process.prepare(config)
    process.check(config)
    assert config.conf.stat().st_mode & 0o777 == 0o600


def test_a_configuration_that_nginx_refuses_is_shown_in_its_own_words(config: EdgeConfig) -> None:
    certificates.ensure(config.certificates, config.server_names)
    process.prepare(config)
    config.conf.write_text("nonsense;")
    with pytest.raises(BadInput, match='unknown directive "nonsense"'):
        process.check(config)


def test_all_that_nginx_writes_is_below_the_state_folder(config: EdgeConfig) -> None:
    state = str(config.state.parent)
    for line in render(config).splitlines():
        words = line.split("#")[0].replace(";", "").split()
        if words and words[0].endswith(("_temp_path", "_log", "pid")) and words[0] != "log_format":
            assert words[1].startswith(state), line


def test_a_missing_nginx_is_answered_with_what_to_type(tmp_path: Path) -> None:
    tool = tmp_path / "apt-get"
    tool.touch(mode=0o755)
    with pytest.raises(Missing) as caught:
        process.find_nginx({"PATH": str(tmp_path)}, also="")
    assert caught.value.remedy == "sudo apt-get install -y nginx"


def test_no_nginx_runs_where_the_pid_belongs_to_another(config: EdgeConfig) -> None:
    assert process.running(config) is None
    assert not process.stop(config)
    config.state.mkdir(parents=True)
    other = subprocess.Popen(["sleep", "30"])
    try:
        config.pid.write_text(f"{other.pid}\n")
        assert process.running(config) is None
        assert not process.reopen_logs(config)
    finally:
        other.kill()
        other.wait()
