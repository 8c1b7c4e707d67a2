"""nginx in a pod: `python -m coalmine.edge.pod` writes its configuration, as an init container, and exits.

The templates are those of one machine with a single arm behind them (`edge.fixed`): TLS from a mounted Secret, the same
limits, allow-list and log. nginx then runs beside the service as the same unprivileged user on a read-only root: all
that either writes lies below `--into`, an emptyDir.

Which arm a pod is, it learns from its own workload's name. Flagger copies the Deployment `<model>` to
`<model>-primary` and writes that name into the copy's `app` label; it never turns one into the other. So a pod is the
canary's or the primary's for all of its life, whatever the weights are and whichever release it runs, and nothing has
to be told at a promotion. The label and the release's annotation come by the downward API:

    env:
      - {name: WORKLOAD, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
      - {name: RELEASE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['coalmine.dev/release']"}}}
    args: [--model=sentiment, --workload=$(WORKLOAD), --release=$(RELEASE), --into=/run/coalmine, --tls=/tls]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from coalmine.edge import process
from coalmine.edge.config import EdgeConfig, Fixed
from coalmine.errors import BadInput, CoalmineError
from coalmine.records import ReleaseId

PRIMARY = "-primary"  # what Flagger appends to the name of its copy


def arm(model: str, workload: str) -> str:
    """`primary` or `canary` by the name of the Deployment that a pod belongs to. Raises BadInput for any other."""
    if workload == model:
        return "canary"
    if workload == f"{model}{PRIMARY}":
        return "primary"
    raise BadInput(
        f"{workload!r} is neither {model!r} nor {model + PRIMARY!r}",
        where="--workload",
        remedy="give the pod's own label `app` by the downward API; Flagger changes it in the primary's copy",
    )


def config(given: argparse.Namespace) -> EdgeConfig:
    """The pod's edge from its arguments. Raises BadInput naming what is wrong."""
    if not given.release:
        remedy = "include gitops/apps/<model>/release/<env> as a component: it annotates the pods"
        raise BadInput("the pod names no release", where="--release", remedy=remedy)
    into: Path = given.into
    return EdgeConfig(
        state=into,
        split=into,
        certificates=given.tls,
        logs=into,
        access_log=given.access_log,
        errors_to=Path("/dev/stderr"),
        listen=given.listen,
        https_port=given.port,
        http_port=0,
        probe_port=given.probe_port,
        metrics_port=given.metrics_port,
        server_names=tuple(given.server_name or (given.model,)),
        blue=given.service,
        green="",
        feedback="",
        prediction_paths=tuple(given.prediction_path or ("/predict",)),
        timeout_seconds=given.timeout_seconds,
        body_limit=given.body_limit,
        rate_per_second=given.rate_per_second,
        burst=given.rate_per_second,
        trusted_proxies=tuple(given.trusted_proxy or ()),
        fixed=Fixed(arm(given.model, given.workload), str(ReleaseId.parse(given.release))),
        mounted_secret=True,
        trace_percent=given.trace_percent,
    )


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="python -m coalmine.edge.pod", description="Write nginx.conf for a pod.")
    reader.add_argument("--model", required=True)
    reader.add_argument("--workload", required=True, help="the pod's label `app`: <model> or <model>-primary")
    reader.add_argument("--release", required=True, help="the pod's annotation coalmine.dev/release")
    reader.add_argument("--into", type=Path, required=True, help="an emptyDir: nginx.conf, pid and temporary files")
    reader.add_argument("--tls", type=Path, required=True, help="a mounted Secret of type kubernetes.io/tls")
    reader.add_argument("--access-log", type=Path, default=Path("/dev/stdout"))
    reader.add_argument("--service", default="127.0.0.1:3000", help="where BentoML listens")
    reader.add_argument("--server-name", action="append", help="may be repeated; default: the model's name")
    reader.add_argument("--prediction-path", action="append", help="may be repeated; default: /predict")
    reader.add_argument("--listen", default="0.0.0.0", help="[::] for IPv6")  # noqa: S104 - a pod's own address
    reader.add_argument("--port", type=int, default=8443)
    reader.add_argument("--probe-port", type=int, default=8081, help="/livez and /readyz, for the kubelet")
    reader.add_argument("--metrics-port", type=int, default=9090, help="/metrics, for Prometheus")
    reader.add_argument("--timeout-seconds", type=int, default=10, help="of a prediction")
    reader.add_argument("--body-limit", default="64k")
    reader.add_argument("--rate-per-second", type=int, default=2000, help="of one client address")
    reader.add_argument("--trace-percent", type=int, default=0, help="of the requests that bring no traceparent")
    reader.add_argument(
        "--trusted-proxy",
        action="append",
        help="addresses of the gateway: its X-Forwarded-For is believed. Without it the gateway counts as one client",
    )
    return reader.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """0: written; 2: a wrong argument, named on standard error."""
    given = _arguments(sys.argv[1:] if argv is None else argv)
    try:
        process.prepare(config(given))
    except CoalmineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
