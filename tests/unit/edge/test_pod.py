"""What a pod's init container is told becomes a configuration, or a sentence that says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from coalmine.edge import pod
from coalmine.errors import BadInput

TOLD = {"--model": "sentiment", "--workload": "sentiment", "--release": "m2-abc1235", "--tls": "/tls"}


def written(tmp_path: Path, **changed: str) -> str:
    told = TOLD | {f"--{name.replace('_', '-')}": value for name, value in changed.items()} | {"--into": str(tmp_path)}
    assert pod.main([f"{name}={value}" for name, value in told.items()]) == 0
    return (tmp_path / "nginx.conf").read_text()


@pytest.mark.parametrize(("workload", "arm"), [("sentiment", "canary"), ("sentiment-primary", "primary")])
def test_the_deployments_name_tells_the_arm(tmp_path: Path, workload: str, arm: str) -> None:
    assert f'map "" $fixed_arm {{ default "{arm}"; }}' in written(tmp_path, workload=workload)


@pytest.mark.parametrize("workload", ["", "sentiment-canary", "sentiment-primary-primary", "other-primary"])
def test_a_pod_of_any_other_workload_does_not_start(workload: str) -> None:
    """Else a mislabelled pod would be counted for an arm at random."""
    with pytest.raises(BadInput, match="neither 'sentiment' nor 'sentiment-primary'"):
        pod.arm("sentiment", workload)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("release", "", "include gitops/apps/<model>/release/<env>"),
        ("release", "latest", "no release id"),
        ("workload", "other", "--workload"),
        ("trusted_proxy", "any;", "edge.trusted_proxies"),
        ("service", "localhost", "edge.blue"),
        ("metrics_port", "0", "edge.probe_port"),
    ],
)
def test_a_wrong_argument_is_a_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    told = TOLD | {"--into": str(tmp_path), f"--{name.replace('_', '-')}": value}
    assert pod.main([f"{flag}={word}" for flag, word in told.items()]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "nginx.conf").exists()


def test_a_pod_has_no_redirect_no_feedback_and_no_second_arm(tmp_path: Path) -> None:
    text = written(tmp_path)
    for absent in ("return 308", "/feedback", "upstream green", "split_clients", "current;"):
        assert absent not in text, absent


def test_probes_and_metrics_are_apart_from_what_clients_reach(tmp_path: Path) -> None:
    """The port of the Service answers neither."""
    text = "\n".join(line.partition("#")[0] for line in written(tmp_path).splitlines())
    clients, _, cluster = text.partition("listen 0.0.0.0:8081;")
    assert "/readyz" not in clients
    assert "/metrics" not in clients
    probes, _, metrics = cluster.partition("listen 0.0.0.0:9090;")
    assert ("/readyz" in probes, "/metrics" in probes, "/readyz" in metrics) == (True, False, False)


def test_all_that_nginx_writes_is_in_the_emptydir_or_the_containers_log(tmp_path: Path) -> None:
    for line in written(tmp_path).splitlines():
        words = line.split("#")[0].replace(";", "").split()
        if words and words[0].endswith(("_temp_path", "_log", "pid")) and words[1:] != ["off"]:
            assert words[1].startswith((str(tmp_path), "/dev/std")), line
