"""Upstream's charts come out of the bench's registry by upstream's names and versions, ready to be installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cluster import engines, registry_charts
from cluster.control import free_port
from cluster.pki import Authority
from cluster.registry import Registry

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]  # the first run builds helm and the registry


def test_each_chart_is_rendered_from_the_registry_with_the_images_of_its_release(tmp_path: Path) -> None:
    authority = Authority.at(tmp_path / "pki")
    registry = Registry(tmp_path / "r", authority, address="127.0.0.1", port=free_port())
    registry.start()
    try:
        registry_charts.push(registry)
        registry_charts.push(registry)  # `up` again
        for chart, said in zip(
            registry_charts.CHARTS,
            (
                "ghcr.io/fluxcd/flagger:1.44.0",
                "docker.io/envoyproxy/gateway:v1.9.1",
                "gateways.gateway.networking.k8s.io",
            ),
            strict=True,
        ):
            where = f"oci://127.0.0.1:{registry.port}/charts/{Path(chart.folder).name}"
            line = [str(engines.binary("helm")), "template", "trial", where, "--version", chart.version]
            line += ["--ca-file", str(authority.certificate), "--set", "crds.gatewayAPI.enabled=true"]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            assert said in done.stdout, done.stderr
    finally:
        registry.stop()
