"""Upstream's Helm charts in the bench's registry, packed from the Go modules that the engines are built from."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cluster import cache, engines, rootfs
from cluster.registry import Registry

PREFIX = "charts"  # where they are in the registry


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart by its folder in an engine's module, at the version under which upstream publishes it."""

    engine: str
    folder: str
    version: str
    values: tuple[tuple[str, str], ...] = ()  # what upstream's release fills into `values.tmpl.yaml`


_GATEWAY = (("${GatewayImage}", "docker.io/envoyproxy/gateway:v1.9.1"), ("${GatewayImagePullPolicy}", "IfNotPresent"))
CHARTS = (
    Chart("flagger", "charts/flagger", "1.44.0"),
    Chart("envoy-gateway", "charts/gateway-helm", "v1.9.1", _GATEWAY),
    Chart("envoy-gateway", "charts/gateway-crds-helm", "v1.9.1"),
)


def push(registry: Registry) -> None:
    """Put each chart into the registry as `<host>/charts/<name>:<version>`; one that is there stays."""
    for chart in CHARTS:
        if registry.digest(f"{PREFIX}/{Path(chart.folder).name}", chart.version) is None:
            trust = f"--ca-file={registry.authority.certificate}"
            where = f"oci://{registry.address}:{registry.port}/{PREFIX}"
            rootfs.run([str(engines.binary("helm")), "push", str(packed(chart)), where, trust])


def packed(chart: Chart) -> Path:
    """The chart as upstream releases it: one `.tgz`."""
    program = Path(__file__).read_bytes()
    recipe = f"{chart} {hashlib.sha256(program).hexdigest()}"
    made = cache.kept(f"chart-{Path(chart.folder).name}", recipe, lambda path: _pack(chart, path))
    return next(made.glob("*.tgz"))


def _pack(chart: Chart, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="chart-") as scratch:
        copy = Path(scratch) / Path(chart.folder).name
        shutil.copytree(engines.module(chart.engine) / chart.folder, copy)
        rootfs.run(["chmod", "-R", "u+w", str(copy)])  # a module's files may be read-only
        template = copy / "values.tmpl.yaml"
        if template.exists():
            text = template.read_text()
            for name, value in chart.values:
                text = text.replace(name, value)
            (copy / "values.yaml").write_text(text)
            template.unlink()
        path.mkdir()
        versions = [f"--version={chart.version}", f"--app-version={chart.version}"]
        rootfs.run([str(engines.binary("helm")), "package", str(copy), *versions, f"--destination={path}"])
